"""What every specification of money begins with: refusals, the division of a sum by weights, and tokens.

The tokens are native, credit, and two that do what no token should.

Invariant: an operation that raises `Refused` changes nothing; a move keeps the sum of all balances; a `Pool` neither
loses nor makes a fraction (the formulas stand at the head of spec/economy.py).
Source: docs/contracts.md; ERC-20. tests/contracts has the contracts that behave like the last two tokens.
What it does not do: it knows no allowances and no signatures, and no contract by name.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
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


class Native(Token):
    """The native token, whose receivers are programs: one may refuse it, another makes a call when it arrives."""

    def __init__(self) -> None:
        super().__init__()
        self.refusing: set[str] = set()
        self.on_arrival: Callable[[str], None] | None = None

    def demand_taker(self, target: str) -> None:
        """Refuse if the receiver would."""
        demand(target not in self.refusing, "NativeTransferFailed")

    def pay(self, source: str, target: str, amount: int) -> None:
        """Move units and let the receiver do what it does then."""
        self.demand_taker(target)
        self.move(source, target, amount)
        if self.on_arrival:
            self.on_arrival(target)


class FeeToken(Token):
    """A token that keeps one percent of each transfer, rounded down, for itself."""

    def move(self, source: str, target: str, amount: int) -> None:
        """Move units; the receiver gets less."""
        super().move(source, target, amount)
        self.balance[target] -= amount // 100
        self.balance["fee"] += amount // 100


class HookToken(Token):
    """A token that calls back into Assets during each transfer.

    A call that Assets guards is refused and changes nothing, so it is not in the books. Working off expiries is
    anybody's right at any time: `expires` is the class and the number of steps that the token works off.
    """

    def __init__(self) -> None:
        super().__init__()
        self.expires: tuple[int, int] | None = None


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
