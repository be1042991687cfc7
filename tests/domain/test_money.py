from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.errors import InvalidInput
from domain.money import CURRENCIES, MAX_AMOUNT, Money


@pytest.mark.parametrize(
    ("amount", "currency", "text"),
    [
        ("500", "SEK", "500.00"),
        ("500.000000", "SEK", "500.00"),
        ("500", "JPY", "500"),
        ("1.5", "KWD", "1.500"),
        ("1.5", "CLF", "1.5000"),
        ("0.00005E4", "SEK", "0.50"),
        ("-0", "CLF", "0.0000"),
        ("999999999999", "CLF", "999999999999.0000"),
    ],
)
def test_an_amount_is_written_with_the_decimals_of_its_currency(
    amount: str, currency: str, text: str
) -> None:
    assert Money(Decimal(amount), currency).text == text


@pytest.mark.parametrize(
    "amount", ["-0.01", "1000000000000", "NaN", "sNaN", "Infinity", "-Infinity", "1E+999999"]
)
def test_an_amount_out_of_range_is_refused(amount: str) -> None:
    with pytest.raises(InvalidInput, match="between 0 and") as refused:
        Money(Decimal(amount), "SEK")
    assert refused.value.path == ("price", "amount")


@pytest.mark.parametrize(
    ("amount", "currency"),
    [
        ("0.001", "SEK"),
        ("0.5", "JPY"),
        ("0.00001", "CLF"),
        ("1E-999999", "SEK"),
        ("1." + "0" * 60 + "1", "SEK"),
    ],
)
def test_an_amount_nobody_can_pay_exactly_is_refused(amount: str, currency: str) -> None:
    with pytest.raises(InvalidInput, match="decimals"):
        Money(Decimal(amount), currency)


@pytest.mark.parametrize("currency", ["", "sek", "SEKK", "XXX", "XAU", "DEM", "BGN", "SE\u212a"])
def test_a_code_that_is_no_currency_in_use_is_refused(currency: str) -> None:
    with pytest.raises(InvalidInput, match="ISO 4217") as refused:
        Money(Decimal(1), currency)
    assert refused.value.path == ("price", "currency")


def test_equal_sums_are_equal_however_they_were_written() -> None:
    assert Money(Decimal(5), "SEK") == Money(Decimal("5.00"), "SEK") != Money(Decimal(5), "NOK")
    assert str(Money(Decimal(5), "SEK")) == "5.00 SEK"


cents = st.integers(0, 10**8)


@given(cents, st.integers(0, 500), st.sampled_from(sorted(CURRENCIES)))
def test_n_pieces_cost_exactly_n_times_as_much(units: int, count: int, currency: str) -> None:
    price = Money(Decimal(units), currency)
    assert sum((price.amount for _ in range(count)), Decimal(0)) == price.times(count).amount


def test_a_total_out_of_range_is_refused() -> None:
    with pytest.raises(InvalidInput):
        Money(MAX_AMOUNT, "IDR").times(2)
    with pytest.raises(InvalidInput):
        Money(Decimal(1), "SEK").times(-1)
