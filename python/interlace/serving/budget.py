"""The buyer's own limit: what may be promised in total, per call and per day, decided before anything is signed.

Invariant: promised + spent never passes `total` (nor `per_day` within one UTC day), however many threads, clients and
services share the budget; an amount is taken from the budget before a voucher over it is signed.
What it does not do: it is the memory of this process. The hard limit across processes is the escrow.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from interlace.errors import BudgetError


class Budget:
    """Limits in credit-wei; shared freely between threads and clients.

    Parameters
    ----------
    total
        Most that may ever be spent.
    per_call
        Most that one call may cost.
    per_day
        Most that may be spent within one UTC day.
    clock
        Unix seconds.

    Raises
    ------
    BudgetError
        ``budget.bad-limit`` for a limit that is not a non-negative integer.
    """

    def __init__(
        self,
        total: int,
        per_call: int | None = None,
        per_day: int | None = None,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        for name, limit in (("total", total), ("per_call", per_call), ("per_day", per_day)):
            if limit is not None and (isinstance(limit, bool) or not isinstance(limit, int) or limit < 0):
                raise BudgetError("budget.bad-limit", f"{name} is {limit!r}, not a whole number of credit-wei")
        self.total, self.per_call, self.per_day = total, per_call, per_day
        self._clock = clock
        self._lock = threading.Lock()
        self._spent = 0
        self._promised = 0
        self._day = -1
        self._day_amount = 0

    def reserve(self, amount: int) -> Reservation:
        """Take `amount` from the budget, or refuse; call this before signing.

        Raises
        ------
        BudgetError
            ``budget.per-call``, ``budget.per-day`` or ``budget.total``; nothing is taken then.
        """
        with self._lock:
            if self.per_call is not None and amount > self.per_call:
                raise BudgetError("budget.per-call", f"one call over {amount} passes the limit of {self.per_call}")
            taken = self._spent + self._promised
            if taken + amount > self.total:
                raise BudgetError(
                    "budget.total", f"{amount} on top of {taken} spent or promised passes the limit of {self.total}"
                )
            today = int(self._clock() // 86_400)
            if today != self._day:
                self._day, self._day_amount = today, 0
            if self.per_day is not None and self._day_amount + amount > self.per_day:
                raise BudgetError(
                    "budget.per-day", f"{amount} on top of {self._day_amount} today passes the limit of {self.per_day}"
                )
            self._promised += amount
            self._day_amount += amount
            return Reservation(self, amount, today)

    def _close(self, reserved: int, day: int, actual: int) -> None:
        with self._lock:
            self._promised -= reserved
            self._spent += actual
            if day == self._day:
                self._day_amount -= reserved - actual

    @property
    def spent(self) -> int:
        """Credit-wei of finished calls."""
        with self._lock:
            return self._spent

    @property
    def promised(self) -> int:
        """Credit-wei of vouchers that are signed, or about to be, and not known to be finished."""
        with self._lock:
            return self._promised

    @property
    def left(self) -> int:
        """Credit-wei that may still be promised."""
        with self._lock:
            return self.total - self._spent - self._promised

    def __repr__(self) -> str:
        """Return limits and what is used of them."""
        return f"Budget(total={self.total}, spent={self.spent}, promised={self.promised})"


class Reservation:
    """An amount taken from a budget; it stays taken until `spend` or `release` says otherwise, once."""

    __slots__ = ("_budget", "_day", "amount", "open")

    def __init__(self, budget: Budget, amount: int, day: int) -> None:
        self._budget = budget
        self._day = day
        self.amount = amount
        self.open = True

    def spend(self, actual: int) -> None:
        """Turn the promise into the actual cost; the difference returns to the budget."""
        if self.open:
            self.open = False
            self._budget._close(self.amount, self._day, actual)

    def release(self) -> None:
        """Return everything: nothing was signed, or what was signed can never be settled."""
        self.spend(0)
