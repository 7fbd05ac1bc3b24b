"""Validation of data: the rules and the money of `contracts/src/DataValidation.sol` in plain Python.

Invariant: `check()` holds after every operation, and an operation that raises `Refused` changes nothing. Fees, bonds
and slashed stakes are each in one place until they are owed, to the last unit; undecided means refund.
Source: docs/data-validation.md. Draws are keccak256 of the beacon's value, computed here by other people's encoder.
What it does not do: commitments are opaque here; whether a reveal fits its commitment arrives as a fact.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from eth_abi import encode
from eth_utils.crypto import keccak

from spec.beacon import Beacon
from spec.economy import BP, Credit, demand

MAX_VALIDATORS, MAX_OPEN, MAX_POSTPONED, MAX_APPEALS = 64, 256, 8, 16
MIN_DRAWN, MAX_DRAWN, APPELLANT_BP, MAX_SCORE = 3, 15, 5_000, 1_000_000
REQUESTED, DRAWN, PROPOSED, APPEALED, VALIDATED, UNAVAILABLE_STATE, REFUNDED = range(1, 8)
UNAVAILABLE = (1).to_bytes(32, "big")


class Answer(NamedTuple):
    """A report's hash and its score in parts per million."""

    report: bytes
    score: int

    def check(self) -> None:
        """Refuse what nobody may reveal."""
        fits = any(self.report) and self.score <= MAX_SCORE and (self.report != UNAVAILABLE or self.score == 0)
        demand(fits, "BadReport")


@dataclass(frozen=True)
class Terms:
    """As the contract's: seconds, credit-wei, basis points."""

    draw: int
    commit: int
    reveal: int
    window: int
    vote: int
    unbonding: int
    slash_bp: int
    min_stake: int
    min_fee: int
    bond: int


@dataclass
class Member:
    """A seat; `stake` is what is left of `weight`."""

    weight: int
    since: int
    stake: int
    left_at: int = 0
    busy: int = 0

    def weight_at(self, second: int) -> int:
        """Weight for what began at a second: who came at it or after, or left before it, has none."""
        return self.weight if self.since < second and (not self.left_at or self.left_at >= second) else 0


@dataclass
class Appeal:
    """An appeal; `weights` are those of who may vote."""

    appellant: str
    answer: Answer
    weights: dict[str, int]
    votes: dict[str, bool] = field(default_factory=dict)

    def share(self, in_favour: bool) -> int:
        """Stake that voted so."""
        return sum(self.weights[who] for who, vote in self.votes.items() if vote is in_favour)

    def wins(self, in_favour: bool) -> bool:
        """More than two thirds of who may vote."""
        return 3 * self.share(in_favour) > 2 * sum(self.weights.values())


@dataclass
class Request:
    """One request; of the drawn, in their order, None: nothing yet, False: committed, else what was revealed."""

    requester: str
    class_id: int
    fee: int
    k: int
    second: int
    round: int
    state: int = REQUESTED
    postponed: int = 0
    until: int = 0
    drawn: dict[str, Answer | bool | None] = field(default_factory=dict)
    answer: Answer | None = None
    appeal: Appeal | None = None
    appeals: int = 0

    @property
    def revealed(self) -> list[tuple[str, Answer]]:
        """Who revealed what."""
        return [(who, shown) for who, shown in self.drawn.items() if isinstance(shown, Answer)]


def pick(weights: Sequence[int], point: int) -> int:
    """The place on which a point below the sum of the weights falls, when they are laid end to end."""
    for place, weight in enumerate(weights):
        if point < weight:
            return place
        point -= weight
    raise AssertionError("a point beyond the weights")


def draw(weights: dict[str, int], k: int, seed: bytes) -> list[str]:
    """Draw k without replacement: pick j at keccak256(seed, j) mod what is left."""
    left, drawn = dict(weights), []
    for j in range(k):
        number = int.from_bytes(keccak(encode(["bytes32", "uint256"], [seed, j])), "big")
        chosen = list(left)[pick(list(left.values()), number % sum(left.values()))]
        drawn.append(chosen)
        left[chosen] = 0
    return drawn


class Validation:
    """Members, requests, and what everybody is owed. Money of the router goes to `router`."""

    name = "validation"

    def __init__(self, credit: Credit, beacon: Beacon, address: str, owners: dict[int, str], terms: Terms) -> None:
        self.credit, self.beacon, self.address, self.owners, self.terms = credit, beacon, address, owners, terms
        self.members: dict[str, Member] = {}
        self.requests: dict[int, Request] = {}
        self.owed: dict[str, int] = defaultdict(int)
        self.fees: dict[tuple[int, str], int] = {}
        self.routed: dict[str, int] = defaultdict(int)
        self.scores: dict[int, int] = {}

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

    def withdraw(self, now: int, who: str) -> int:
        """Return a stake after unbonding and the last request."""
        demand(who in self.members, "NotMember")
        m = self.members[who]
        demand(m.left_at > 0 and now >= m.left_at + self.terms.unbonding, "StillBonded")
        demand(m.busy == 0, "StillDrawn")
        del self.members[who]
        self.credit.move(self.name, who, m.stake)
        return m.stake

    def claim(self, who: str) -> int:
        """Pay what is owed."""
        amount, self.owed[who] = self.owed[who], 0
        self.credit.move(self.name, who, amount)
        return amount

    # ---- requests ------------------------------------------------------------------------------------

    def request(self, now: int, who: str, class_id: int, fee: int, k: int) -> int:
        """Ask for a validation by a round that begins later."""
        demand(self.owners[class_id] == who, "NotClassOwner")
        demand(MIN_DRAWN <= k <= MAX_DRAWN and k % 2 == 1, "BadCount")
        demand(fee >= self.terms.min_fee * k, "FeeTooSmall")
        demand(sum(r.state < VALIDATED for r in self.requests.values()) < MAX_OPEN, "TooManyOpen")
        self.credit.move(who, self.name, fee)
        number = len(self.requests) + 1
        self.requests[number] = Request(who, class_id, fee, k, now, now // self.beacon.period + 1)
        return number

    def draw(self, now: int, number: int) -> None:
        """Draw, take a later round, or give the fee back."""
        r = self._in(number, REQUESTED)
        known = self.beacon.has_value(now, r.round)
        if not known or now > self.beacon.ends_at(r.round) + self.terms.draw:
            if r.postponed == MAX_POSTPONED:
                self._refund(r)
            else:
                r.postponed += 1
                r.second, r.round = now, now // self.beacon.period + 1
            return
        there = {who: m.weight_at(r.second) for who, m in self.members.items() if who != r.requester}
        weights = {who: weight for who, weight in there.items() if weight}
        if len(weights) <= r.k:
            self._refund(r)
            return
        value = self.beacon.value(now, r.round)
        seed = keccak(encode(["bytes32", "address", "uint256"], [value, self.address, number]))
        r.drawn = dict.fromkeys(draw(weights, r.k, seed))
        for who in r.drawn:
            self.members[who].busy += 1
        r.state, r.until = DRAWN, now + self.terms.commit + self.terms.reveal

    def commit(self, now: int, who: str, number: int) -> None:
        """Commit, once, in the first part of the time."""
        r = self._in(number, DRAWN)
        demand(who in r.drawn, "NotDrawn")
        demand(now < r.until - self.terms.reveal, "CommitOver")
        demand(r.drawn[who] is None, "WrongPartState")
        r.drawn[who] = False

    def reveal(self, now: int, who: str, number: int, answer: Answer, fits: bool) -> None:
        """Reveal, once, in the second part."""
        r = self._in(number, DRAWN)
        demand(who in r.drawn, "NotDrawn")
        demand(r.until - self.terms.reveal <= now < r.until, "NotRevealing")
        demand(r.drawn[who] is False, "WrongPartState")
        demand(fits, "WrongReveal")
        answer.check()
        r.drawn[who] = answer

    def tally(self, now: int, number: int) -> None:
        """Count; more than half of the drawn decide."""
        r = self._in(number, DRAWN)
        demand(len(r.revealed) == r.k or now >= r.until, "TooEarly")
        counted = Counter(answer for _, answer in r.revealed).most_common(1)
        r.answer = counted[0][0] if counted and 2 * counted[0][1] > r.k else None
        r.state, r.until = PROPOSED, now + self.terms.window

    def appeal(self, now: int, who: str, number: int, answer: Answer) -> None:
        """Say that another answer is right."""
        r = self._in(number, PROPOSED)
        demand(now < r.until, "TooLate")
        answer.check()
        demand(answer != r.answer, "SameReport")
        self.credit.move(who, self.name, self.terms.bond << r.appeals)
        r.appeals += 1
        interested = {who, r.requester, *r.drawn}
        there = {other: m.weight_at(now) for other, m in self.members.items() if other not in interested}
        weights = {other: weight for other, weight in there.items() if weight}
        r.state, r.until, r.appeal = APPEALED, now + self.terms.vote, Appeal(who, answer, weights)

    def vote(self, now: int, who: str, number: int, in_favour: bool) -> None:
        """Vote by weight; who came later, or is gone, has none."""
        r = self._in(number, APPEALED)
        demand(now < r.until, "TooLate")
        a = r.appeal
        assert a is not None
        begun = r.until - self.terms.vote
        demand(who in self.members and self.members[who].weight_at(begun) > 0, "NotEligible")
        demand(who not in {a.appellant, r.requester, *r.drawn}, "InterestedVoter")
        demand(who not in a.votes, "AlreadyVoted")
        a.votes[who] = in_favour

    def finish(self, now: int, number: int) -> None:
        """Decide, pay, slash."""
        r = self.requests.get(number)
        demand(r is not None and r.state in (PROPOSED, APPEALED), "NotInState")
        assert r is not None
        a = r.appeal
        accepted, rejected = a is not None and a.wins(True), a is not None and a.wins(False)
        demand(accepted or rejected or now >= r.until, "TooEarly")
        if a is not None:
            bond = self.bond_of(r)
            if accepted:
                r.answer = a.answer
            elif not rejected:
                r.answer = None
            if rejected or (not accepted and a.share(False) > a.share(True)):
                self._owe([who for who, vote in a.votes.items() if not vote], bond)
            else:
                self.owed[a.appellant] += bond
        if rejected and r.appeals < MAX_APPEALS:
            # A false appeal shields nothing: others can appeal, for twice the bond.
            r.state, r.until, r.appeal = PROPOSED, now + self.terms.window, None
            return
        self._settle(now, number, r, a if accepted else None)

    def bond_of(self, r: Request) -> int:
        """Bond of the running appeal: the first one's, doubled for each before."""
        return self.terms.bond << (r.appeals - 1)

    def _settle(self, now: int, number: int, r: Request, won: Appeal | None) -> None:
        right = [who for who, shown in r.revealed if r.answer is None or shown == r.answer]
        guilty = [who for who in r.drawn if who not in right and (r.answer is not None or right)]
        for who in r.drawn:
            self.members[who].busy -= 1
        pot = sum(self._slash(now, who) for who in guilty)
        if r.answer is None or not right:
            self.owed[r.requester] += r.fee
        else:
            each, rest = divmod(r.fee, len(right))
            self.fees |= {(number, who): each + rest * (who == right[0]) for who in right}
        if won:
            reward = pot * APPELLANT_BP // BP
            self.owed[won.appellant] += reward
            pot -= reward
            right += [who for who, vote in won.votes.items() if vote]
        self._owe(right, pot)
        if r.answer is None:
            r.state = REFUNDED
        elif r.answer.report == UNAVAILABLE:
            r.state = UNAVAILABLE_STATE
        else:
            r.state = VALIDATED
            self.scores[r.class_id] = max(number, self.scores.get(r.class_id, 0))

    def collect(self, number: int, who: str) -> None:
        """Hand a part of the fee to the router."""
        demand(self.fees.get((number, who), 0) > 0, "NothingToCollect")
        amount = self.fees.pop((number, who))
        self.routed[who] += amount
        self.credit.move(self.name, "router", amount)

    def _slash(self, now: int, who: str) -> int:
        m = self.members[who]
        taken = min(m.stake, m.weight * self.terms.slash_bp // BP)
        m.stake -= taken
        m.left_at = m.left_at or now
        return taken

    def _owe(self, accounts: list[str], amount: int) -> None:
        if amount:
            each, rest = divmod(amount, len(accounts))
            for who in accounts:
                self.owed[who] += each
            self.owed[accounts[0]] += rest

    def _refund(self, r: Request) -> None:
        r.state = REFUNDED
        self.owed[r.requester] += r.fee

    def _in(self, number: int, state: int) -> Request:
        demand(number in self.requests and self.requests[number].state == state, "NotInState")
        return self.requests[number]

    def check(self) -> None:
        """What is held is stakes, fees and bonds of open requests, what is owed, and what is to be routed."""
        running = [r for r in self.requests.values() if r.state < VALIDATED]
        held = sum(m.stake for m in self.members.values()) + sum(r.fee for r in running)
        held += sum(self.bond_of(r) for r in running if r.state == APPEALED)
        held += sum(self.owed.values()) + sum(self.fees.values())
        assert self.credit.balance[self.name] == held
        assert self.credit.balance["router"] == sum(self.routed.values())
        for who, m in self.members.items():
            assert m.busy == sum(who in r.drawn for r in running)
            assert 0 <= m.stake <= m.weight
