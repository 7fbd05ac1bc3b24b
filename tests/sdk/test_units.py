"""Amounts and prices: exact or refused."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interlace.errors import BudgetError
from interlace.sdk.units import CREDIT, format_amount, parse_amount, parse_price


@given(st.integers(0, 2**256 - 1))
def test_every_amount_survives_its_text(wei):
    assert parse_amount(format_amount(wei)) == wei


@pytest.mark.parametrize(
    ("text", "wei"),
    [
        ("0.002", 2 * 10**15),
        ("1", CREDIT),
        (3, 3 * CREDIT),
        (Decimal("1e-18"), 1),
        ("0.0000000000000000010", 1),
        (" 2.50 ", 25 * 10**17),
    ],
)
def test_amounts_are_read_exactly(text, wei):
    assert parse_amount(text) == wei


@pytest.mark.parametrize(
    "text",
    [
        *["", "-1", "+1", "1e3", "1,5", ".5", "5.", "0x10", "NaN", "0.0000000000000000001", "2" * 60, "1" * 61],
        *[0.1, True, None, "١", Decimal("NaN"), Decimal("-1")],
    ],
)
def test_other_amounts_are_refused(text):
    with pytest.raises(BudgetError, match=r"^budget\.bad-amount: "):
        parse_amount(text)


@given(st.integers(1, 10**24), st.integers(1, 10**9))
def test_a_call_never_costs_more_than_its_price(amount, units):
    price = parse_price(f"{format_amount(amount)}/call")
    if amount < units:
        with pytest.raises(BudgetError, match=r"^budget\.bad-price: "):
            price.unit_price(units)
    else:
        assert 0 <= amount - price.unit_price(units) * units < units


def test_prices_are_read_exactly():
    assert parse_price("0.002/call").unit_price(1000) == 2 * 10**12
    assert parse_price("0.002/unit").unit_price(1000) == 2 * 10**15
    assert parse_price(parse_price("1/call")) == parse_price("1 / call")


@pytest.mark.parametrize("text", ["0.002", "0/call", "1/token", "/call", "1/", "-1/call", "x/call", "1/call/call", 5])
def test_other_prices_are_refused(text):
    with pytest.raises(BudgetError, match=r"^budget\.bad-(price|amount): "):
        parse_price(text)
