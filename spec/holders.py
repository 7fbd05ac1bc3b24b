"""Those who are paid for holding and for making blocks: stakes and their rewards over time, and transaction fees.

Invariant: `check()` of each holds after every operation; released, owed, carried and claimed add up to what came.
Source: docs/economy.md.
What it does not do: votes. They follow the stakes, and OpenZeppelin's contract keeps their history.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from spec.money import BP, CREDIT, NATIVE, Credit, Native, Pool, S, Token, demand

if TYPE_CHECKING:
    from spec.economy import Router


@dataclass
class Holder:
    """A staker: stake, what is on the way out as (amount, available at), and accruals in units of 1/S by asset."""

    stake: int = 0
    unbonding: list[tuple[int, int]] = field(default_factory=list)
    paid: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    accrued: dict[str, int] = field(default_factory=lambda: defaultdict(int))


@dataclass
class Arrival:
    """What arrived in one period, and how much of it was released since."""

    amount: int = 0
    released: int = 0


class Flow:
    """Rewards of one asset. What arrives in period p is released evenly over p + 1, to the stakes of each second.

    Every period is kept here for itself; the contract keeps two, and must come to the same.
    """

    def __init__(self, length: int) -> None:
        self.length, self.pool = length, Pool()
        self.periods: dict[int, Arrival] = defaultdict(Arrival)
        self.rewarded = self.claimed = 0

    @property
    def waiting(self) -> int:
        """What is not released yet."""
        return sum(arrival.amount - arrival.released for arrival in self.periods.values())

    def arrive(self, now: int, amount: int) -> None:
        """Add to what arrives in this period."""
        self.periods[now // self.length].amount += amount
        self.rewarded += amount

    def advance(self, now: int, weight: int) -> None:
        """Release what the time asks for; without weight, put everything into the present period."""
        if not weight:
            waiting, self.periods = self.waiting, defaultdict(Arrival)
            if waiting:
                self.periods[now // self.length].amount = waiting
            return
        due = 0
        for period, arrival in list(self.periods.items()):
            seconds = min(max(now - (period + 1) * self.length, 0), self.length)
            released = arrival.amount * seconds // self.length
            due += released - arrival.released
            arrival.released = released
            if released == arrival.amount and seconds == self.length:
                del self.periods[period]
        if due:  # a carry alone waits for the next unit, however much weight has left since
            self.pool.distribute(due, weight)


class Vault:
    """Stakes, unbonding stakes, and the holders' part in credits and native tokens, released over time by stake."""

    def __init__(self, credit: Credit, native: Native, unbonding_seconds: int, stream_seconds: int) -> None:
        self.native = native
        self.money: dict[str, Token] = {NATIVE: native, CREDIT: credit}
        self.unbonding_seconds = unbonding_seconds
        self.holders: dict[str, Holder] = defaultdict(Holder)
        self.flows = {asset: Flow(stream_seconds) for asset in self.money}

    @property
    def total(self) -> int:
        """All stakes."""
        return sum(h.stake for h in self.holders.values())

    def advance(self, now: int) -> None:
        """Bring both flows up to now; may be called at any time, and as often as one likes."""
        for flow in self.flows.values():
            flow.advance(now, self.total)

    def owed(self, who: str, asset: str = CREDIT) -> int:
        """Unclaimed reward in units of 1/S as of the last advance: accrued + stake * (acc - paid)."""
        h = self.holders[who]
        return h.accrued[asset] + h.stake * (self.flows[asset].pool.acc - h.paid[asset])

    def _settled(self, now: int, who: str) -> Holder:
        self.advance(now)
        h = self.holders[who]
        for asset, flow in self.flows.items():
            h.accrued[asset], h.paid[asset] = self.owed(who, asset), flow.pool.acc
        return h

    def stake(self, now: int, who: str, amount: int) -> None:
        """Stake; it earns from now on."""
        demand(amount > 0, "ZeroAmount")
        self._settled(now, who).stake += amount
        self.money[NATIVE].move(who, "vault", amount)

    def request_unstake(self, now: int, who: str, amount: int) -> None:
        """Take out of the stake what can be withdrawn after the unbonding time."""
        demand(amount > 0, "ZeroAmount")
        demand(amount <= self.holders[who].stake, "InsufficientStake")
        demand(len(self.holders[who].unbonding) < 8, "TooManyUnbonding")
        h = self._settled(now, who)
        h.stake -= amount
        h.unbonding.append((amount, now + self.unbonding_seconds))

    def withdraw(self, now: int, who: str) -> int:
        """Pay all requests whose time has come."""
        h = self.holders[who]
        due = [entry for entry in h.unbonding if entry[1] <= now]
        demand(bool(due), "NothingToWithdraw")
        self.native.demand_taker(who)
        h.unbonding = [entry for entry in h.unbonding if entry[1] > now]
        amount = sum(entry[0] for entry in due)
        self.native.pay("vault", who, amount)
        return amount

    def add_reward(self, now: int, source: str, amount: int, asset: str = CREDIT) -> None:
        """Take a reward, to be released in the next period."""
        demand(amount > 0, "ZeroAmount")
        self.money[asset].move(source, "vault", amount)
        self.advance(now)
        self.flows[asset].arrive(now, amount)

    def claim(self, now: int, who: str, asset: str = CREDIT) -> int:
        """Pay whole units; the fraction stays."""
        h = self._settled(now, who)
        amount = h.accrued[asset] // S
        if not amount:
            return 0
        if asset == NATIVE:
            self.native.demand_taker(who)
        h.accrued[asset] -= amount * S
        self.flows[asset].claimed += amount
        if asset == NATIVE:
            self.native.pay("vault", who, amount)
        else:
            self.money[asset].move("vault", who, amount)
        return amount

    def check(self) -> None:
        """Conservation to the last fraction, for each asset, and solvency."""
        unbonding = sum(amount for h in self.holders.values() for amount, _ in h.unbonding)
        for asset, flow in self.flows.items():
            owed = sum(self.owed(who, asset) for who in list(self.holders))
            assert owed + flow.pool.carry + (flow.waiting + flow.claimed) * S == flow.rewarded * S
            held = flow.rewarded - flow.claimed + (self.total + unbonding if asset == NATIVE else 0)
            assert self.money[asset].balance["vault"] == held


class TransactionFees:
    """Divides what block makers send it, in native tokens, by the shares of meter 2; validators have equal parts."""

    def __init__(self, native: Native, router: Router, node: str) -> None:
        self.native, self.router, self.node = native, router, node
        self.part: dict[str, int] = defaultdict(int)
        self.earned, self.paid = defaultdict[str, int](int), defaultdict[str, int](int)
        self.received = self.distributed = self.claimed = self.passed_on = self.carry = 0

    def receive(self, source: str, amount: int) -> None:
        """Take fees."""
        self.native.move(source, "fees", amount)
        self.received += amount

    def distribute(self, now: int) -> int:
        """Divide what came in since the last time."""
        amount, s = self.received - self.distributed, self.router.meters[2]
        if not amount:
            return 0
        validators, holders, treasury = (amount * bp // BP for bp in (s.validators, s.holders, s.treasury))
        self.part[self.node] += amount - validators - holders - treasury
        self.part[self.router.treasury] += treasury
        members = self.router.validators.members
        each, self.carry = divmod(validators + self.carry, len(members))
        for member in members:
            self.earned[member] += each
        self.distributed += amount
        if holders:
            self.router.vault.add_reward(now, "fees", holders, NATIVE)
            self.passed_on += holders
        return amount

    def owed(self, who: str) -> int:
        """What `who` can claim in all roles."""
        return self.part[who] + self.earned[who] - self.paid[who]

    def claim(self, who: str) -> int:
        """Pay it."""
        amount = self.owed(who)
        if not amount:
            return 0
        self.native.demand_taker(who)
        self.part[who], self.paid[who] = 0, self.earned[who]
        self.claimed += amount
        self.native.pay("fees", who, amount)
        return amount

    def check(self) -> None:
        """Distributed = owed + carry + claimed + passed on; balance = received - claimed - passed on."""
        owed = sum(self.owed(who) for who in {*self.part, *self.earned})
        assert owed + self.carry + self.claimed + self.passed_on == self.distributed <= self.received
        assert self.native.balance["fees"] == self.received - self.claimed - self.passed_on
