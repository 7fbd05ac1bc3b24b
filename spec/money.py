"""What every specification of money begins with: refusals, tokens, and the division of a sum by weights.

Invariant: an operation that raises `Refused` changes nothing; a `Pool` neither loses nor makes a fraction (the formulas
stand at the head of spec/economy.py).
Source: docs/contracts.md.
What it does not do: it knows no contract by name.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

S = 10**18
BP = 10_000
NATIVE, CREDIT = "native", "credit"


class Refused(Exception):  # noqa: N818 - a refusal is an outcome of the model, not a mistake in it
    """An operation that the contracts revert; `error` is the name of the contract's error."""

    def __init__(self, error: str) -> None:
        super().__init__(error)
        self.error = error


def demand(holds: bool, error: str) -> None:
    """Refuse with `error` unless `holds`."""
    if not holds:
        raise Refused(error)


@dataclass
class Pool:
    """Revenue per unit of weight; see the formulas above."""

    acc: int = 0
    carry: int = 0

    def distribute(self, amount: int, weight: int) -> None:
        """Divide `amount` by `weight`; without weight, carry all of it."""
        scaled = amount * S + self.carry
        if weight == 0:
            self.carry = scaled
        else:
            self.acc += scaled // weight
            self.carry = scaled % weight


class Token:
    """A token with balances; the credit locks one native unit for each of its own."""

    def __init__(self) -> None:
        self.balance: dict[str, int] = defaultdict(int)

    def move(self, source: str, target: str, amount: int) -> None:
        """Move units between two accounts, or refuse."""
        demand(self.balance[source] >= amount, "ERC20InsufficientBalance")
        self.balance[source] -= amount
        self.balance[target] += amount


class Credit(Token):
    """The unit of account: total supply = native units locked."""

    def __init__(self) -> None:
        super().__init__()
        self.locked = 0

    def deposit(self, who: str, amount: int) -> None:
        """Lock native units, receive as many credits."""
        demand(amount > 0, "ZeroAmount")
        self.locked += amount
        self.balance[who] += amount

    def withdraw(self, who: str, amount: int) -> None:
        """Give credits back for native units."""
        demand(amount > 0, "ZeroAmount")
        demand(self.balance[who] >= amount, "ERC20InsufficientBalance")
        self.balance[who] -= amount
        self.locked -= amount

    def check(self) -> None:
        """Supply = locked."""
        assert sum(self.balance.values()) == self.locked
        assert all(units >= 0 for units in self.balance.values())
