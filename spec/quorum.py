"""Panels that run a claim again: the rules and the money of `contracts/src/Quorum.sol` in plain Python.

Invariant: `check()` holds after every operation, and an operation that raises `Refused` changes nothing. Fees and
slashed stakes are each in one place until they are owed, to the last unit. What was upheld or refuted stays so.
Source: docs/audits.md, "A quorum on chain". Seats and draws are those of `spec/validation.py`.
What it does not do: commitments are opaque here; whether a reveal fits its commitment arrives as a fact. A claim is a
name for its hash and one for its job.

With fee f of a panel of n, of whom r revealed and d more than n / 2 agree on an output::

    decided     each of the d      f // d, the first of them also f % d
    undecided   each of the r      min_fee; the prover f - r min_fee
    both        who did not show   loses its part of the stake, if r > 0; the r share it like a fee
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import NamedTuple

from eth_abi import encode
from eth_utils.crypto import keccak

from spec.beacon import Beacon
from spec.economy import BP, Credit, demand
from spec.validation import MAX_VALIDATORS, Member, draw

MAX_OPEN, MAX_POSTPONED, MAX_WHERE, MAX_DRAWN = 256, 8, 256, 15
ASKED, DRAWN, UPHELD, REFUTED, UNDECIDED = range(1, 6)
NONE, OPEN, HOLDS, FAILS = range(4)


class Vote(NamedTuple):
    """Hash of the output and root of the run; both empty: there was no output."""

    output: bytes
    trace: bytes


NO_OUTPUT = Vote(bytes(32), bytes(32))


@dataclass(frozen=True)
class Question:
    """A claim by its hash, the job that it answers, its output and whose it is."""

    hash: bytes
    job: bytes
    output: bytes
    prover: str
    here: bool = True


@dataclass(frozen=True)
class Terms:
    """As the contract's: seconds, basis points, credit-wei, members."""

    draw: int
    commit: int
    reveal: int
    unbonding: int
    slash_bp: int
    min_stake: int
    min_fee: int
    least: int


@dataclass
class Panel:
    """One panel; of the drawn, in their order, None: nothing yet, False: committed, else what was revealed."""

    question: Question
    fee: int
    n: int
    second: int
    round: int
    state: int = ASKED
    postponed: int = 0
    until: int = 0
    drawn: dict[str, Vote | bool | None] = field(default_factory=dict)
    found: Vote | None = None

    @property
    def shown(self) -> dict[str, Vote]:
        """Who revealed what."""
        return {who: vote for who, vote in self.drawn.items() if isinstance(vote, Vote)}


class Quorum:
    """Members, panels, and what everybody is owed."""

    name = "quorum"

    def __init__(self, credit: Credit, beacon: Beacon, address: str, terms: Terms) -> None:
        self.credit, self.beacon, self.address, self.terms = credit, beacon, address, terms
        self.members: dict[str, Member] = {}
        self.panels: dict[bytes, Panel] = {}
        self.owed: dict[str, int] = defaultdict(int)

    # ---- members -------------------------------------------------------------------------------------

    def stake(self, now: int, who: str, amount: int) -> None:
        """Take a seat."""
        demand(amount >= self.terms.min_stake, "StakeTooSmall")
        demand(who not in self.members, "AlreadyMember")
        demand(len(self.members) < MAX_VALIDATORS, "SetFull")
        self.credit.move(who, self.name, amount)
        self.members[who] = Member(amount, now, amount)

    def resign(self, now: int, who: str) -> None:
        """Leave."""
        demand(who in self.members, "NotMember")
        demand(not self.members[who].left_at, "AlreadyLeft")
        self.members[who].left_at = now

    def withdraw(self, now: int, who: str) -> None:
        """Return a stake after unbonding and the last panel."""
        demand(who in self.members, "NotMember")
        m = self.members[who]
        demand(m.left_at > 0 and now >= m.left_at + self.terms.unbonding, "StillBonded")
        demand(m.busy == 0, "StillDrawn")
        del self.members[who]
        self.credit.move(self.name, who, m.stake)

    def claim(self, who: str) -> None:
        """Pay what is owed."""
        amount, self.owed[who] = self.owed[who], 0
        self.credit.move(self.name, who, amount)

    # ---- panels --------------------------------------------------------------------------------------

    def request(self, now: int, who: str, q: Question, fee: int, n: int, where: str) -> None:
        """Ask by a round that begins later; once for each job."""
        demand(who == q.prover, "NotTheProver")
        demand(q.here, "NotThisChain")
        demand(any(q.output), "ZeroHash")
        demand(self.terms.least <= n <= MAX_DRAWN and n % 2 == 1, "BadCount")
        demand(fee >= self.terms.min_fee * n, "FeeTooSmall")
        demand(len(where.encode()) <= MAX_WHERE, "TooLong")
        demand(sum(p.state < UPHELD for p in self.panels.values()) < MAX_OPEN, "TooManyOpen")
        demand(all(p.question.job != q.job for p in self.panels.values()), "AlreadyAsked")
        self.credit.move(who, self.name, fee)
        self.panels[q.hash] = Panel(q, fee, n, now, now // self.beacon.period + 1)

    def draw(self, now: int, claim: bytes) -> None:
        """Draw, take a later round, or forget the claim."""
        p = self._in(claim, ASKED)
        known = self.beacon.has_value(now, p.round)
        if not known or now > self.beacon.ends_at(p.round) + self.terms.draw:
            if p.postponed == MAX_POSTPONED:
                self._forget(claim)
            else:
                p.postponed += 1
                p.second, p.round = now, now // self.beacon.period + 1
            return
        there = {who: m.weight_at(p.second) for who, m in self.members.items() if who != p.question.prover}
        weights = {who: weight for who, weight in there.items() if weight}
        if len(weights) < p.n:
            self._forget(claim)
            return
        value = self.beacon.value(now, p.round)
        seed = keccak(encode(["bytes32", "address", "bytes32"], [value, self.address, claim]))
        p.drawn = dict.fromkeys(draw(weights, p.n, seed))
        for who in p.drawn:
            self.members[who].busy += 1
        p.state, p.until = DRAWN, now + self.terms.commit + self.terms.reveal

    def commit(self, now: int, who: str, claim: bytes) -> None:
        """Commit, once, in the first part of the time; the last commitment ends it."""
        p = self._in(claim, DRAWN)
        demand(who in p.drawn, "NotDrawn")
        demand(now < p.until - self.terms.reveal, "CommitOver")
        demand(p.drawn[who] is None, "WrongPartState")
        p.drawn[who] = False
        if all(vote is not None for vote in p.drawn.values()):
            p.until = now + self.terms.reveal

    def reveal(self, now: int, who: str, claim: bytes, vote: Vote, fits: bool) -> None:
        """Reveal, once, in the second part."""
        p = self._in(claim, DRAWN)
        demand(who in p.drawn, "NotDrawn")
        demand(p.until - self.terms.reveal <= now < p.until, "NotRevealing")
        demand(p.drawn[who] is False, "WrongPartState")
        demand(fits, "WrongReveal")
        demand(any(vote.output) == any(vote.trace), "BadVote")
        p.drawn[who] = vote

    def finish(self, now: int, claim: bytes) -> None:
        """Count, pay, slash."""
        p = self._in(claim, DRAWN)
        demand(len(p.shown) == p.n or now >= p.until, "TooEarly")
        vote, count = next(iter(Counter(p.shown.values()).most_common(1)), (NO_OUTPUT, 0))
        p.found = vote if 2 * count > p.n and vote != NO_OUTPUT else None
        if p.found is None:
            p.state, paid, fee = UNDECIDED, list(p.shown), self.terms.min_fee * len(p.shown)
        else:
            p.state = UPHELD if p.found.output == p.question.output else REFUTED
            paid, fee = [who for who, shown in p.shown.items() if shown == p.found], p.fee
        pot = 0
        for who in p.drawn:
            m = self.members[who]
            m.busy -= 1
            if p.shown and who not in p.shown:
                taken = min(m.stake, m.weight * self.terms.slash_bp // BP)
                m.stake -= taken
                m.left_at = m.left_at or now
                pot += taken
        self.owed[p.question.prover] += p.fee - fee
        self._owe(paid, fee)
        self._owe(list(p.shown), pot)

    def verdict(self, claim: bytes) -> int:
        """What Settlement hears: nothing is known, it is being decided, it holds, it fails."""
        state = self.panels[claim].state if claim in self.panels else 0
        return {ASKED: OPEN, DRAWN: OPEN, UPHELD: HOLDS, REFUTED: FAILS}.get(state, NONE)

    def _owe(self, accounts: list[str], amount: int) -> None:
        if amount:
            each, rest = divmod(amount, len(accounts))
            for who in accounts:
                self.owed[who] += each
            self.owed[accounts[0]] += rest

    def _forget(self, claim: bytes) -> None:
        p = self.panels.pop(claim)
        self.owed[p.question.prover] += p.fee

    def _in(self, claim: bytes, state: int) -> Panel:
        demand(claim in self.panels and self.panels[claim].state == state, "NotInState")
        return self.panels[claim]

    def check(self) -> None:
        """What is held is stakes, fees of panels that run, and what is owed."""
        running = [p for p in self.panels.values() if p.state < UPHELD]
        held = sum(m.stake for m in self.members.values()) + sum(p.fee for p in running) + sum(self.owed.values())
        assert self.credit.balance[self.name] == held
        for who, m in self.members.items():
            assert m.busy == sum(who in p.drawn for p in running)
            assert 0 <= m.stake <= m.weight
