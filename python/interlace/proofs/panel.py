"""Panels on a chain: ask for a claim to be run again, and be one of the members who are drawn to do it.

Invariant: what a member does next follows from the chain's state; its salt follows from its key and the claim, and its
vote from a run or from its own file, which is written before the vote is committed to. So who was killed between
commitment and reveal goes on where it was.
Source: docs/audits.md, "A quorum on chain"; `contracts/src/Quorum.sol` draws, counts and holds the money.
What it does not do: it does not wait; a service calls `step` more often than the time for commitments lasts. It tells
nobody its vote before the reveals; whoever does gives it away.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NamedTuple

from interlace import _core
from interlace.chain import Account, Client, Contract, checksum_address
from interlace.contracts import ADDRESSES, artifact
from interlace.errors import ChainError, ProgramError, VerificationError
from interlace.proofs.dispute import claim_struct
from interlace.records import Claim, hash_input, hash_output

STATES: Final = ("unknown", "asked", "drawn", "upheld", "refuted", "undecided")
PARTS: Final = ("drawn", "committed", "revealed")
_SALT_TAG: Final = b"interlace.quorum.salt.v1"
_MAX_STORE_BYTES: Final = 1 << 20
_REORGANISED_BLOCKS: Final = 64
"""How far behind the oldest unfinished question a member reads on, for blocks that another chain replaces."""


class Vote(NamedTuple):
    """What a member found: hash of the output, and root over every value of the run (`Program.trace`)."""

    output_hash: bytes
    trace_root: bytes


NO_OUTPUT: Final = Vote(bytes(32), bytes(32))
"""No output could be had: the input is not there or is another, or the program refuses it."""


@dataclass(frozen=True, slots=True)
class Part:
    """A drawn member, what it did (one of `PARTS`), and its commitment until it has revealed."""

    member: str
    state: str
    word: bytes


@dataclass(frozen=True, slots=True)
class Panel:
    """A panel as the chain has it.

    Attributes
    ----------
    state
        One of `STATES`; the last three are ends.
    round
        Of the beacon, whose value draws.
    until
        Unix second at which the reveals are over; 0 before the draw.
    found
        What the deciding members found; None while, or if, nothing is decided.
    """

    claim_hash: bytes
    prover: str
    state: str
    members: int
    fee_wei: int
    round: int
    until: int
    found: Vote | None
    parts: tuple[Part, ...]


class Panels:
    """The contract Quorum behind one node, for provers, payers and whoever keeps panels going.

    Parameters
    ----------
    address
        Of the contract; its place on every chain of ours if it is not given.

    Raises
    ------
    ChainError
        All methods that send raise ``chain.reverted`` with the contract's reason.
    """

    def __init__(self, client: Client, address: str = "") -> None:
        self.client = client
        self.contract = Contract(client, address or ADDRESSES["Quorum"], artifact("Quorum").abi)
        self.credit = Contract(client, str(self.contract.call("credit")), artifact("CreditToken").abi)
        self.beacon = Contract(client, str(self.contract.call("beacon")), artifact("Beacon").abi)
        self.reveal_seconds = int(self.contract.call("revealSeconds"))
        self.commit_seconds = int(self.contract.call("commitSeconds"))

    @property
    def now(self) -> int:
        """Unix second of the next block."""
        return self.client.block("pending").timestamp

    def least_fee(self, members: int = 0) -> int:
        """Return the least credit-wei for a panel of so many members; of the fewest that are possible by default."""
        return int(self.contract.call("minFee")) * (members or int(self.contract.call("leastDrawn")))

    def request(self, prover: Account, claim: Claim, fee_wei: int = 0, members: int = 0, where: str = "") -> bytes:
        """Ask for a panel about a claim of one's own; return the claim's hash.

        The prover's allowance to the contract becomes exactly the fee, and is used up. Tell nobody the trace's root
        before the reveals are over: a member who knows it need not run anything.

        Parameters
        ----------
        fee_wei, members
            The least of both by default.
        where
            Where input and salt can be had until the panel is finished, at most 256 bytes.
        """
        members = members or int(self.contract.call("leastDrawn"))
        fee_wei = fee_wei or self.least_fee(members)
        self.credit.send(prover, "approve", self.contract.address, fee_wei)
        self.contract.send(prover, "request", claim_struct(claim), fee_wei, members, where)
        return claim.hash()

    def get(self, claim_hash: bytes) -> Panel:
        """Return a panel.

        Raises
        ------
        VerificationError
            ``audit.no-panel`` if none was asked for, or there was no draw and the claim was forgotten.
        """
        found = self.contract.call("panelOf", claim_hash)
        prover, state, n, _, _, _, _, until, fee, number, _, _, output, trace = found
        if state == 0:
            raise VerificationError("audit.no-panel", f"no panel was asked for about claim 0x{claim_hash.hex()}")
        parts = tuple(
            Part(checksum_address(who), PARTS[did], bytes(word))
            for who, did, word, _ in self.contract.call("partsOf", claim_hash)
        )
        vote = Vote(bytes(output), bytes(trace)) if any(output) else None
        sizes = int(n), int(fee), int(number), int(until)
        return Panel(claim_hash, checksum_address(prover), STATES[state], *sizes, vote, parts)

    def advance(self, who: Account, claim_hash: bytes) -> str:
        """Draw or finish if the time for it has come; return the state. Anyone may, and it costs only gas.

        Raises
        ------
        VerificationError
            ``audit.no-panel``.
        """
        panel, now = self.get(claim_hash), self.now
        shown = panel.parts and all(part.state == "revealed" for part in panel.parts)
        if panel.state == "asked" and now >= int(self.beacon.call("endsAt", panel.round)):
            self._try(who, "draw", claim_hash, panel)
        elif panel.state == "drawn" and (shown or now >= panel.until):
            self._try(who, "finish", claim_hash, panel)
        else:
            return panel.state
        return STATES[self.contract.call("panelOf", claim_hash)[1]]

    def _try(self, who: Account, function: str, claim_hash: bytes, before: Panel) -> None:
        """Send; another may have been faster, which is as good."""
        try:
            self.contract.send(who, function, claim_hash)
        except ChainError:
            state = STATES[self.contract.call("panelOf", claim_hash)[1]]
            if state == before.state:
                raise

    def commitment(self, claim_hash: bytes, member: str, vote: Vote, salt: bytes) -> bytes:
        """Return what a member commits to, as the contract computes it."""
        words = (self.client.chain_id, int(self.contract.address, 16), int.from_bytes(claim_hash, "big"))
        bound = b"".join(word.to_bytes(32, "big") for word in (*words, int(member, 16)))
        return _core.keccak256(bound + vote.output_hash + vote.trace_root + salt)


Fetch = Callable[[Claim, str], tuple[bytes, bytes]]
"""Gets salt and encoded input of a claim from where its prover says that they can be had; may raise anything.

`where` is a stranger's text: bound the time and the bytes, and go nowhere that only you can reach.
"""


class Done(NamedTuple):
    """Something that a member did: ``committed``, ``revealed``, or the state that a panel got to."""

    claim_hash: bytes
    what: str


@dataclass(slots=True)
class Member:
    """A member: its seat, its votes, and what it earns.

    Attributes
    ----------
    programs
        Valid programs by their ids. Who does not have a claim's program votes that there is no output.
    store
        A file of its own for the votes that are not revealed yet. Without, they are found by another run.
    since
        Block from which it reads questions; it moves on as panels are finished.
    """

    panels: Panels
    account: Account
    programs: Mapping[bytes, _core.Program]
    fetch: Fetch
    store: Path | None = None
    since: int = 0
    votes: dict[bytes, Vote] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Read the file of votes.

        Raises
        ------
        VerificationError
            ``audit.bad-store`` if it is no file of votes.
        """
        if self.store is None or not self.store.exists():
            return
        try:
            if self.store.stat().st_size > _MAX_STORE_BYTES:
                raise ValueError("it is too large")
            kept = json.loads(self.store.read_text(encoding="utf-8"))
            self.votes = {_word(name): Vote(*map(_word, vote)) for name, vote in kept.items()}
        except (ValueError, TypeError, AttributeError) as error:
            hint = "remove it if no vote waits for its reveal"
            raise VerificationError(
                "audit.bad-store", f"{self.store} is no file of votes: {error}", hint=hint
            ) from None

    def stake(self, amount_wei: int) -> None:
        """Take a seat with so many credits; the allowance to the contract becomes exactly this, and is used up."""
        self.panels.credit.send(self.account, "approve", self.panels.contract.address, amount_wei)
        self.panels.contract.send(self.account, "stake", amount_wei)

    def resign(self) -> None:
        """Leave the set; the stake can be withdrawn after unbonding and the last panel."""
        self.panels.contract.send(self.account, "resign")

    def withdraw(self) -> None:
        """Have the stake back."""
        self.panels.contract.send(self.account, "withdraw", self.account.address)

    def claim(self) -> int:
        """Claim fees and parts of slashed stakes; return the credit-wei."""
        receipt = self.panels.contract.send(self.account, "claim", self.account.address)
        events = self.panels.contract.events(receipt)
        return sum(int(event.args["amount"]) for event in events if event.name == "OwedClaimed")

    def step(self) -> list[Done]:
        """Do what is due in every panel that is not finished: draw, commit, reveal, finish.

        Raises
        ------
        ChainError
            ``chain.reverted`` when the contract refuses something though nobody else was faster; after all panels had
            their turn.
        """
        done, failed, newest = [], None, self.panels.client.block().number
        asked = {bytes(event.args["claimHash"]): event for event in self.panels.contract.logs("PanelAsked", self.since)}
        oldest = newest
        for claim_hash, event in asked.items():
            try:
                panel = self.panels.get(claim_hash)
            except VerificationError:
                continue  # It was forgotten.
            if panel.state in STATES[3:]:
                self._forget(claim_hash)
                continue
            oldest = min(oldest, event.log.block_number)
            try:
                what = self._act(panel, Claim(*event.args["claim"]), str(event.args["where"])) or self._advance(panel)
            except ChainError as error:
                failed = failed or error
                continue
            if what:
                done.append(Done(claim_hash, what))
        self.since = max(self.since, oldest - _REORGANISED_BLOCKS)
        if failed:
            raise failed
        return done

    def _act(self, panel: Panel, claim: Claim, where: str) -> str:
        """Commit or reveal, if that is due."""
        mine = next((part for part in panel.parts if part.member == self.account.address), None)
        begins, now = panel.until - self.panels.reveal_seconds, self.panels.now
        if mine is None or mine.state == "revealed":
            return ""
        salt = self._salt(panel.claim_hash)
        if mine.state == "drawn":
            vote = self._vote(claim, where) if now < begins else None
            if vote is None and begins - self.panels.commit_seconds // 4 <= now < begins:
                vote = NO_OUTPUT  # Who says nothing is slashed.
            if vote is None:
                return ""
            self._keep(panel.claim_hash, vote)
            word = self.panels.commitment(panel.claim_hash, self.account.address, vote, salt)
            self.panels.contract.send(self.account, "commit", panel.claim_hash, word)
            return "committed"
        if not begins <= now < panel.until:
            return ""
        found = self._committed(panel.claim_hash, mine.word, salt, claim, where)
        if found is None:
            return ""
        self.panels.contract.send(self.account, "reveal", panel.claim_hash, *found, salt)
        return "revealed"

    def _advance(self, panel: Panel) -> str:
        state = self.panels.advance(self.account, panel.claim_hash)
        return "" if state == panel.state else state

    def _committed(self, claim_hash: bytes, word: bytes, salt: bytes, claim: Claim, where: str) -> Vote | None:
        """Return the vote that was committed to: the one kept, that there is no output, or that of another run."""
        kept = self.votes.get(claim_hash)
        for vote in (kept, NO_OUTPUT) if kept else (NO_OUTPUT, self._vote(claim, where)):
            if vote and self.panels.commitment(claim_hash, self.account.address, vote, salt) == word:
                return vote
        return None

    def _vote(self, claim: Claim, where: str) -> Vote | None:
        """Run the program; None when its input cannot be had now."""
        program = self.programs.get(claim.program_id)
        if program is None or program.semantics != claim.semantics:
            return NO_OUTPUT
        try:
            salt, data = self.fetch(claim, where)
            if hash_input(salt, data) != claim.input_hash:
                return None
        except Exception:  # noqa: BLE001 - where to fetch is a stranger's text, and the other panels must go on
            return None
        try:
            trace = program.trace(data)
        except ProgramError:
            return NO_OUTPUT
        return Vote(hash_output(trace.output), trace.root)

    def _salt(self, claim_hash: bytes) -> bytes:
        """Return what nobody else can compute, and whoever has the key can again."""
        here = f"{self.panels.client.chain_id}{self.panels.contract.address}".encode()
        return _core.keccak256(_SALT_TAG + self.account.key + _core.keccak256(here) + claim_hash)

    def _keep(self, claim_hash: bytes, vote: Vote) -> None:
        if self.votes.get(claim_hash) != vote:
            self.votes[claim_hash] = vote
            self._write()

    def _forget(self, claim_hash: bytes) -> None:
        if self.votes.pop(claim_hash, None) is not None:
            self._write()

    def _write(self) -> None:
        if self.store is None:
            return
        kept: Any = {name.hex(): [word.hex() for word in vote] for name, vote in self.votes.items()}
        handle, name = tempfile.mkstemp(dir=self.store.parent, prefix=self.store.name)
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump(kept, file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(name, self.store)


def _word(text: str) -> bytes:
    word = bytes.fromhex(text)
    if len(word) != 32:
        raise ValueError(f"{len(word)} bytes where 32 are due")
    return word


__all__ = ["NO_OUTPUT", "PARTS", "STATES", "Done", "Fetch", "Member", "Panel", "Panels", "Part", "Vote"]
