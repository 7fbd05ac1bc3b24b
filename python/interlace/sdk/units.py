"""Amounts and prices as people write them, turned into whole units without rounding.

Credits have 18 decimals, like the native token, so one credit is 10**18 credit-wei and every amount is an integer.

Invariant: text becomes an integer exactly or is refused; no float takes part. A price per call becomes a whole price
per unit of work that never charges more than the text says; the rest, less than one credit-wei per unit, is given to
the buyer, because the contract multiplies whole numbers.
What it does not do: it knows no exchange rates and no locale; the decimal sign is a point.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal, localcontext

from interlace.errors import BudgetError

DECIMALS = 18
CREDIT = 10**DECIMALS
"""Credit-wei in one credit."""

_NUMBER = re.compile(r"[0-9]{1,60}(\.[0-9]{1,60})?", re.ASCII)
_PER = ("call", "unit")


def parse_amount(text: str | int | Decimal) -> int:
    """Credit-wei in an amount of credits.

    Parameters
    ----------
    text
        Credits, as ``"0.05"`` or a `Decimal`; an `int` means whole credits. A float is refused, because ``0.1`` is
        not a tenth.

    Raises
    ------
    BudgetError
        ``budget.bad-amount`` for anything that is not an exact, non-negative number of credit-wei below 2**256.

    Examples
    --------
    >>> parse_amount("0.002")
    2000000000000000
    """
    if isinstance(text, bool) or not isinstance(text, str | int | Decimal):
        raise _bad_amount(text, "is no text and no whole number")
    spelled = format(text, "f") if isinstance(text, Decimal) else str(text).strip()
    if not _NUMBER.fullmatch(spelled):
        raise _bad_amount(text, "is not a plain decimal number")
    whole, _, fraction = spelled.partition(".")
    fraction = fraction.rstrip("0")
    if len(fraction) > DECIMALS:
        raise _bad_amount(text, f"has {len(fraction)} decimals; a credit has {DECIMALS}")
    wei = int(whole + fraction.ljust(DECIMALS, "0"))
    if wei >= 1 << 256:
        raise _bad_amount(text, "does not fit into 256 bits")
    return wei


def format_amount(wei: int) -> str:
    """Credits as text, exact and as short as possible.

    Examples
    --------
    >>> format_amount(2000000000000000)
    '0.002'
    """
    with localcontext() as context:
        context.prec = 120
        text = format(Decimal(wei) / CREDIT, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


class Credits(int):
    """An amount of credit-wei: an integer in every calculation, credits when it is shown.

    Examples
    --------
    >>> print(Credits(2 * 10**15))
    0.002 credits
    """

    def __str__(self) -> str:
        """Return credits as text."""
        return f"{format_amount(self)} credits"

    def __repr__(self) -> str:
        """Return how to make it."""
        return f"Credits({int(self)})"


@dataclass(frozen=True, slots=True)
class Price:
    """A price in credit-wei per call or per unit of work.

    Parameters
    ----------
    amount
        Credit-wei.
    per
        ``call`` or ``unit``.
    """

    amount: int
    per: str

    def unit_price(self, units: int) -> int:
        """Credit-wei per unit of work for a program whose call takes `units` units.

        Raises
        ------
        BudgetError
            ``budget.bad-price`` when a call would cost less than one credit-wei per unit.
        """
        price = self.amount // units if self.per == "call" else self.amount
        if price < 1:
            raise BudgetError(
                "budget.bad-price",
                f"{format_amount(self.amount)} per {self.per} is less than 1 credit-wei for each of {units} units",
                hint=f"ask at least {format_amount(units)}/call",
            )
        return price

    def __str__(self) -> str:
        """The text that `parse_price` reads back."""
        return f"{format_amount(self.amount)}/{self.per}"


def parse_price(text: str | Price) -> Price:
    """Read a price such as ``"0.002/call"``.

    Raises
    ------
    BudgetError
        ``budget.bad-price`` for another form or a price of zero, ``budget.bad-amount`` for its number.

    Examples
    --------
    >>> str(parse_price("0.0020/call"))
    '0.002/call'
    """
    if isinstance(text, Price):
        return text
    number, slash, per = str(text).partition("/")
    if not slash or per.strip() not in _PER:
        raise BudgetError("budget.bad-price", f"{text!r} is not AMOUNT/call or AMOUNT/unit", hint='"0.002/call"')
    amount = parse_amount(number.strip())
    if amount == 0:
        raise BudgetError("budget.bad-price", f"{text!r} is a price of zero")
    return Price(amount, per.strip())


def _bad_amount(text: object, reason: str) -> BudgetError:
    return BudgetError("budget.bad-amount", f"{text!r} {reason}", hint='write credits as text, such as "0.05"')
