"""Sampled audits on a chain, in plain Python: the rules and the money of `contracts/src/Audits.sol`, and a cheater.

Invariant: `check()` holds after every operation, and an operation that raises `Refused` changes nothing.
Source: docs/audits.md, "On chain".
What it does not do: no claims' bytes (they are hashes here), and of disputes only their beginning and
their ends; `spec/dispute.py` has the game. It shares no code with the package.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Protocol

from eth_utils.crypto import keccak

from spec.economy import Credit, Validators, demand

NONE, OPEN, HOLDS, FAILS = range(4)
MAX_BATCH = 64


@dataclass
class Terms:
    """What the contract is told, in its order."""

    rate_bp: int = 1_000
    answer: int = 300
    unbonding: int = 900
    max_rounds: int = 3
    max_in_flight: int = 10
    fine: int = 1_001


class Rounds(Protocol):
    """A beacon."""

    period: int

    def ends_at(self, number: int) -> int:
        """First second after the round."""
        ...

    def has_value(self, now: int, number: int) -> bool:
        """Whether a round that is over has a value."""
        ...

    def value(self, now: int, number: int) -> bytes:
        """The value."""
        ...


class Disputes:
    """Claims that are put up with a bond, and how they end; all games end by a clock here."""

    def __init__(self, credit: Credit, bond: int, window: int, clock: int) -> None:
        self.credit, self.bond, self.window, self.clock = credit, bond, window, clock
        self.claims: dict[bytes, list[object]] = {}

    def post(self, now: int, who: str, claim: bytes) -> None:
        """Put it up."""
        demand(claim not in self.claims, "AlreadyPosted")
        self.credit.move(who, "dispute", self.bond)
        self.claims[claim] = ["posted", now + self.window, who, ""]

    def challenge(self, now: int, who: str, claim: bytes) -> None:
        """Doubt it."""
        found = self.claims.get(claim)
        demand(found is not None and found[0] == "posted", "NotInState")
        assert found is not None
        demand(now < int(str(found[1])), "TooLate")
        demand(who != found[2], "OwnClaim")
        self.credit.move(who, "dispute", self.bond)
        found[0], found[1], found[3] = "challenged", now + self.clock, who

    def timeout(self, now: int, who: str, claim: bytes) -> None:  # noqa: ARG002
        """The prover has no time left."""
        found = self.claims.get(claim)
        demand(found is not None and found[0] == "challenged", "NotInState")
        assert found is not None
        demand(now > int(str(found[1])), "TooEarly")
        found[0] = "fell"
        self.credit.move("dispute", str(found[3]), 2 * self.bond)

    def verdict(self, now: int, claim: bytes) -> int:
        """How it stands."""
        found = self.claims.get(claim)
        if found is None:
            return NONE
        if found[0] == "posted":
            return HOLDS if now >= int(str(found[1])) else OPEN
        return FAILS if found[0] == "fell" else OPEN


@dataclass
class Entry:
    """A claim that is audited."""

    node: str
    round: int
    rounds: int = 1
    answered: bool = False
    closed: bool = False


@dataclass
class Node:
    """Who serves."""

    stake: int = 0
    in_flight: int = 0
    leaves_at: int = 0


@dataclass
class Audits:
    """All claims and nodes."""

    credit: Credit
    beacon: Rounds
    disputes: Disputes
    validators: Validators
    terms: Terms
    nodes: dict[str, Node] = field(default_factory=dict)
    entries: dict[bytes, Entry] = field(default_factory=dict)

    def _node(self, who: str) -> Node:
        return self.nodes.setdefault(who, Node())

    def join(self, now: int, who: str, amount: int) -> None:  # noqa: ARG002
        """Put up a stake."""
        demand(amount > 0, "ZeroAmount")
        demand(self._node(who).leaves_at == 0, "IsLeaving")
        self.credit.move(who, "audits", amount)
        self._node(who).stake += amount

    def resign(self, now: int, who: str) -> None:
        """Ask for it back."""
        node = self._node(who)
        demand(node.leaves_at == 0, "IsLeaving")
        demand(node.stake > 0, "ZeroAmount")
        node.leaves_at = now + self.terms.unbonding

    def withdraw(self, now: int, who: str) -> None:
        """Have it back."""
        node = self._node(who)
        demand(node.leaves_at != 0, "NotLeaving")
        demand(now >= node.leaves_at, "TooEarly")
        demand(node.in_flight == 0, "ClaimsInFlight")
        self.credit.move("audits", who, node.stake)
        self.nodes[who] = Node()

    def enter(self, now: int, who: str, claims: list[tuple[bytes, str]]) -> None:
        """Enter (hash, prover) of claims."""
        demand(0 < len(claims) <= MAX_BATCH, "BatchSize")
        node = self._node(who)
        demand(node.leaves_at == 0, "IsLeaving")
        most = node.stake // self.terms.fine * self.terms.max_in_flight
        demand(node.in_flight + len(claims) <= most, "TooManyInFlight")
        fresh: dict[bytes, Entry] = {}
        for claim, prover in claims:
            demand(prover == who, "NotTheProver")
            demand(claim not in self.entries and claim not in fresh, "AlreadyEntered")
            demand(self.disputes.verdict(now, claim) == NONE, "AlreadyPutUp")
            fresh[claim] = Entry(who, now // self.beacon.period + 1)
        node.in_flight += len(claims)
        self.entries.update(fresh)

    def enter_again(self, now: int, who: str, claim: bytes) -> None:  # noqa: ARG002
        """Into another round."""
        demand(claim in self.entries, "NotEntered")
        entry = self.entries[claim]
        demand(not self.beacon.has_value(now, entry.round), "RoundHasValue")
        demand(entry.rounds < self.terms.max_rounds, "NoMoreRounds")
        entry.round, entry.rounds = now // self.beacon.period + 1, entry.rounds + 1

    def drawn(self, now: int, claim: bytes) -> bool:
        """Whether its round draws it."""
        value = self.beacon.value(now, self.entries[claim].round)
        return int.from_bytes(keccak(value + claim), "big") % 10_000 < self.terms.rate_bp

    def answer(self, now: int, who: str, claim: bytes) -> None:  # noqa: ARG002
        """It was put up in time."""
        demand(claim in self.entries, "NotEntered")
        entry = self.entries[claim]
        demand(not entry.answered, "AlreadyAnswered")
        demand(self.drawn(now, claim), "NotDrawn")
        demand(now < self.beacon.ends_at(entry.round) + self.terms.answer, "TooLate")
        demand(self.disputes.verdict(now, claim) != NONE, "NotPutUp")
        entry.answered = True

    def verdict(self, now: int, claim: bytes) -> int:
        """How it stands."""
        entry = self.entries.get(claim)
        if entry is None:
            return NONE
        if entry.answered:
            return self.disputes.verdict(now, claim)
        end = self.beacon.ends_at(entry.round)
        if now < end:
            return OPEN
        if not self.beacon.has_value(now, entry.round):
            return OPEN if entry.rounds < self.terms.max_rounds else NONE
        if not self.drawn(now, claim):
            return HOLDS
        return OPEN if now < end + self.terms.answer else FAILS

    def close(self, now: int, who: str, claims: list[bytes]) -> None:  # noqa: ARG002
        """They are no longer in flight."""
        demand(0 < len(claims) <= MAX_BATCH, "BatchSize")
        seen = set()
        for claim in claims:
            demand(claim in self.entries, "NotEntered")
            demand(self.verdict(now, claim) in (HOLDS, NONE), "NotDecided")
            demand(not self.entries[claim].closed and claim not in seen, "AlreadyClosed")
            seen.add(claim)
        for claim in claims:
            self._close(claim)

    def _close(self, claim: bytes) -> None:
        self.entries[claim].closed = True
        self.nodes[self.entries[claim].node].in_flight -= 1

    def convict(self, now: int, who: str, claim: bytes) -> None:
        """Fine its node."""
        demand(claim in self.entries, "NotEntered")
        demand(self.verdict(now, claim) == FAILS, "NotFailed")
        demand(not self.entries[claim].closed, "AlreadyClosed")
        self._close(claim)
        node = self.nodes[self.entries[claim].node]
        amount = min(node.stake, self.terms.fine)
        node.stake -= amount
        if amount:
            self.validators.add_reward("audits", amount - amount // 2)
        self.credit.move("audits", who, amount // 2)

    def check(self) -> None:
        """What is held are the stakes, and places in flight are those of claims that are not closed."""
        assert self.credit.balance["audits"] == sum(node.stake for node in self.nodes.values())
        for who, node in self.nodes.items():
            assert node.in_flight == sum(e.node == who and not e.closed for e in self.entries.values())
            assert node.stake >= 0


@dataclass
class Dice:
    """A beacon whose values are drawn from a generator."""

    rng: random.Random
    period: int = 60
    values: dict[int, bytes] = field(default_factory=dict)

    def ends_at(self, number: int) -> int:
        """First second after the round."""
        return (number + 1) * self.period

    def has_value(self, now: int, number: int) -> bool:
        """Every round has one."""
        return now >= self.ends_at(number)

    def value(self, now: int, number: int) -> bytes:  # noqa: ARG002
        """The value."""
        return self.values.setdefault(number, self.rng.randbytes(32))


def cheat(terms: Terms, gain: int, rng: random.Random) -> Fraction:
    """Let a node with one fine cheat at every call until it is found, and convict itself; return its profit."""
    credit = Credit()
    beacon = Dice(rng)
    disputes = Disputes(credit, 1, 600, 600)
    audits = Audits(credit, beacon, disputes, Validators(credit, ["v"], 1), terms)
    credit.deposit("node", terms.fine)
    audits.join(0, "node", terms.fine)
    now, earned = 0, 0
    while audits.nodes["node"].stake >= terms.fine:
        claims = [rng.randbytes(32) for _ in range(terms.max_in_flight)]
        audits.enter(now, "node", [(claim, "node") for claim in claims])
        now += 2 * beacon.period + terms.answer
        for claim in claims:
            if audits.verdict(now, claim) == FAILS:
                audits.convict(now, "node", claim)
            else:
                audits.close(now, "node", [claim])
                earned += gain
        audits.check()
    return Fraction(earned + credit.balance["node"] + audits.nodes["node"].stake - terms.fine)
