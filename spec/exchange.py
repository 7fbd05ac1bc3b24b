"""Fair exchange: the rules and the money of `contracts/src/Exchange.sol` in plain Python.

Invariant: `check()` holds after every operation, and an operation that raises `Refused` changes nothing. What is held
is the sum of the fees of unfinished deals; a finished deal paid its fee out, to the last unit, once.
Source: docs/private-data.md, "Fair exchange".
What it does not do: keys and commitments are opaque here; whether a key fits arrives as a fact.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from spec.economy import demand

OPEN, COMMITTED, ACKNOWLEDGED, SOLD, DELIVERED, REFUNDED = range(1, 7)
MAX_STEP = 30 * 86_400


@dataclass
class Deal:
    """One deal; seconds are Unix time."""

    buyer: str
    seller: str
    fee: int
    partial: int
    steps: tuple[int, int, int]
    until: int
    state: int = OPEN


class Exchange:
    """All deals, and everybody's credits."""

    def __init__(self, balances: dict[str, int]) -> None:
        self.balance = Counter(balances)
        self.total = sum(balances.values())
        self.held = 0
        self.deals: dict[int, Deal] = {}

    def open(self, now: int, who: str, seller: str, fee: int, partial: int, steps: tuple[int, int, int]) -> None:
        """Lock a fee."""
        demand(fee > 0, "ZeroFee")
        demand(partial <= fee, "PartialAboveFee")
        demand(seller not in ("zero", who), "BadSeller")
        for step in steps:
            demand(0 < step <= MAX_STEP, "BadStep")
        demand(self.balance[who] >= fee, "ERC20InsufficientBalance")
        self.balance[who] -= fee
        self.held += fee
        self.deals[len(self.deals) + 1] = Deal(who, seller, fee, partial, steps, now + steps[0])

    def _now(self, now: int, number: int, state: int) -> Deal:
        demand(number in self.deals and self.deals[number].state == state, "NotInState")
        demand(now <= self.deals[number].until, "TooLate")
        return self.deals[number]

    def commit(self, now: int, who: str, number: int, is_zero: bool) -> None:
        """The seller says what it delivered."""
        deal = self._now(now, number, OPEN)
        demand(who == deal.seller, "NotTheSeller")
        demand(not is_zero, "ZeroCommitment")
        deal.state, deal.until = COMMITTED, now + deal.steps[1]

    def acknowledge(self, now: int, who: str, number: int) -> None:
        """The buyer has what was committed."""
        deal = self._now(now, number, COMMITTED)
        demand(who == deal.buyer, "NotTheBuyer")
        deal.state, deal.until = ACKNOWLEDGED, now + deal.steps[2]

    def reveal(self, now: int, who: str, number: int, fits: bool) -> None:
        """The seller shows its key and is paid."""
        deal = self._now(now, number, ACKNOWLEDGED)
        demand(who == deal.seller, "NotTheSeller")
        demand(fits, "WrongKey")
        self._pay(deal, SOLD, deal.fee)

    def finish(self, now: int, who: str, number: int) -> None:
        """Anyone after a step's time; the buyer refuses a delivery, or the seller declines a deal, at once."""
        demand(number in self.deals and self.deals[number].state <= ACKNOWLEDGED, "NotInState")
        deal = self.deals[number]
        at_once = {COMMITTED: deal.buyer, OPEN: deal.seller}.get(deal.state)
        demand(who == at_once or now > deal.until, "TooEarly")
        if deal.state == COMMITTED:
            self._pay(deal, DELIVERED, deal.partial)
        else:
            self._pay(deal, REFUNDED, 0)

    def _pay(self, deal: Deal, state: int, to_seller: int) -> None:
        deal.state = state
        self.held -= deal.fee
        self.balance[deal.seller] += to_seller
        self.balance[deal.buyer] += deal.fee - to_seller

    def check(self) -> None:
        """Nothing is lost or made; what is held is owed."""
        assert self.held == sum(deal.fee for deal in self.deals.values() if deal.state <= ACKNOWLEDGED)
        assert self.held + sum(self.balance.values()) == self.total
        assert min(self.balance.values()) >= 0
