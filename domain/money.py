"""Money: an exact amount in one currency (ISO 4217)."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from domain.errors import InvalidInput

MAX_AMOUNT = Decimal(999_999_999_999)
"""The greatest amount, in whole units of any currency."""

# ISO 4217, list one: what is in use in 2026, funds codes included; no metals, no units without a minor unit.
_CODES = """
AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BHD BIF BMD BND BOB BOV BRL BSD BTN BWP BYN BZD CAD CDF CHE
CHF CHW CLF CLP CNY COP COU CRC CUP CVE CZK DJF DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GNF
GTQ GYD HKD HNL HTG HUF IDR ILS INR IQD IRR ISK JMD JOD JPY KES KGS KHR KMF KPW KRW KWD KYD KZT LAK LBP LKR
LRD LSL LYD MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MXV MYR MZN NAD NGN NIO NOK NPR NZD OMR PAB PEN
PGK PHP PKR PLN PYG QAR RON RSD RUB RWF SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS
TMT TND TOP TRY TTD TWD TZS UAH UGX USD USN UYI UYU UYW UZS VED VES VND VUV WST XAF XCD XCG XOF XPF YER ZAR
ZMW ZWG
"""
_UNUSUAL = {
    0: "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF",
    3: "BHD IQD JOD KWD LYD OMR TND",
    4: "CLF UYW",
}
_DECIMALS = dict.fromkeys(_CODES.split(), 2) | {
    code: decimals for decimals, codes in _UNUSUAL.items() for code in codes.split()
}
_UNITS = {code: Decimal(1).scaleb(-decimals) for code, decimals in _DECIMALS.items()}

CURRENCIES = frozenset(_DECIMALS)
"""The codes that money may carry."""


@dataclass(frozen=True, slots=True)
class Money:
    """A non-negative ``amount`` of ``currency``, written with all decimals of that currency.

    Raises InvalidInput (path ``price.amount`` or ``price.currency``, the one place where money comes in) for
    an unknown currency, and for an amount that is negative, above MAX_AMOUNT, no number, or finer than the
    currency can pay.
    """

    amount: Decimal
    currency: str

    def __post_init__(self) -> None:
        unit = _UNITS.get(self.currency)
        if unit is None:
            raise InvalidInput("Not a currency code of ISO 4217.", ("price", "currency"))
        object.__setattr__(self, "amount", _payable(self.amount, unit, self.currency))

    def times(self, count: int) -> Money:
        """The price of ``count`` pieces. Raises InvalidInput if that is negative or above MAX_AMOUNT."""
        return Money(self.amount * count, self.currency)

    @property
    def text(self) -> str:
        """The amount as the contract writes it: ``500.00``."""
        return str(self.amount)

    def __str__(self) -> str:
        return f"{self.amount} {self.currency}"


def _payable(amount: Decimal, unit: Decimal, currency: str) -> Decimal:
    path = ("price", "amount")
    if not amount.is_finite() or not 0 <= amount <= MAX_AMOUNT:
        raise InvalidInput(f"An amount lies between 0 and {MAX_AMOUNT}.", path)
    exact = amount.quantize(unit)
    if exact != amount:
        raise InvalidInput(f"{currency} has {_DECIMALS[currency]} decimals.", path)
    return exact.copy_abs()  # 0, never -0
