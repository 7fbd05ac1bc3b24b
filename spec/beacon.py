"""Random numbers by bonded commit-reveal: the rules and the money of `contracts/src/Beacon.sol` in plain Python.

Invariant: `check()` holds after every operation, and an operation that raises `Refused` changes nothing.
Source: docs/data-validation.md, "The beacon"; the hashes are computed here by other people's encoder.
What it does not do: it decides no draw; `spec/validation.py` does.

A round r lasts from r * period; of `committed` secrets `revealed` are shown. When it is over, with
F = bond * (committed - revealed)::

    who showed            bond + F // revealed, the first also F % revealed
    who did not show      nothing if anybody showed, else the own bond

so that what is paid adds up to bond * committed.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from eth_abi import encode
from eth_utils.crypto import keccak

from spec.economy import Credit, demand

MAX_COMMITTERS = 1_024
COMMITTED, REVEALED, CLAIMED = 1, 2, 3


def commitment(chain_id: int, contract: str, number: int, who: str, secret: bytes) -> bytes:
    """What `who` commits to."""
    types = ["uint256", "address", "uint256", "address", "bytes32"]
    return keccak(encode(types, [chain_id, contract, number, who, secret]))


@dataclass
class Round:
    """One round; `secrets` are those shown, in the order in which they were."""

    commitments: dict[str, bytes] = field(default_factory=dict)
    states: dict[str, int] = field(default_factory=dict)
    secrets: dict[str, bytes] = field(default_factory=dict)
    paid: int = 0


class Beacon:
    """All rounds. Accounts are hexadecimal addresses, since secrets are bound to them."""

    name = "beacon"

    def __init__(self, credit: Credit, at: tuple[int, str], seconds: tuple[int, int], quorum: int, bond: int) -> None:
        self.credit, self.at, self.quorum, self.bond = credit, at, quorum, bond
        self.commit_seconds, self.period = seconds[0], sum(seconds)
        self.rounds: dict[int, Round] = {}

    def ends_at(self, number: int) -> int:
        """First second after the round."""
        return (number + 1) * self.period

    def commit(self, now: int, who: str, number: int, hashed: bytes) -> None:
        """Put a commitment and the bond in."""
        demand(now // self.period == number and now % self.period < self.commit_seconds, "NotCommitting")
        r = self.rounds.get(number, Round())
        demand(who not in r.states, "AlreadyCommitted")
        demand(len(r.states) < MAX_COMMITTERS, "RoundFull")
        self.credit.move(who, self.name, self.bond)
        self.rounds[number] = r
        r.commitments[who], r.states[who] = hashed, COMMITTED

    def reveal(self, now: int, who: str, number: int, secret: bytes) -> None:
        """Show a secret."""
        demand(now // self.period == number and now % self.period >= self.commit_seconds, "NotRevealing")
        r = self.rounds.get(number, Round())
        demand(r.states.get(who) == COMMITTED, "NotCommitted")
        demand(r.commitments[who] == commitment(*self.at, number, who, secret), "WrongSecret")
        r.secrets[who], r.states[who] = secret, REVEALED

    def claim(self, now: int, who: str, number: int) -> int:
        """Pay what is `who`'s of a round that is over."""
        demand(now >= self.ends_at(number), "NotOver")
        r = self.rounds.get(number, Round())
        state, shown = r.states.get(who), len(r.secrets)
        demand(state in (COMMITTED, REVEALED), "NothingToClaim")
        demand(state == REVEALED or not shown, "BondForfeited")
        amount = self.bond
        if shown:
            each, rest = divmod(self.bond * (len(r.states) - shown), shown)
            amount += each + (rest if who == next(iter(r.secrets)) else 0)
        r.states[who] = CLAIMED
        r.paid += amount
        self.credit.move(self.name, who, amount)
        return amount

    def has_value(self, now: int, number: int) -> bool:
        """Whether a round that is over has a value."""
        demand(now >= self.ends_at(number), "NotOver")
        return len(self.rounds.get(number, Round()).secrets) >= self.quorum

    def value(self, now: int, number: int) -> bytes:
        """keccak256(XOR of keccak256(secret, sender), round)."""
        demand(self.has_value(now, number), "NoValue")
        acc = 0
        for who, secret in self.rounds[number].secrets.items():
            acc ^= int.from_bytes(keccak(encode(["bytes32", "address"], [secret, who])), "big")
        return keccak(encode(["uint256", "uint256"], [acc, number]))

    def check(self) -> None:
        """What is held is what was put in and not paid; who can be paid everything in a round empties it."""
        held = 0
        for r in self.rounds.values():
            left = self.bond * len(r.states) - r.paid
            payable = [who for who, state in r.states.items() if state == (REVEALED if r.secrets else COMMITTED)]
            assert left >= 0
            assert payable or left == 0
            held += left
        assert self.credit.balance[self.name] == held
