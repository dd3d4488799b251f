"""Money in the API: minor units and a currency, and how people read it."""

from __future__ import annotations

import strawberry

from apps.kit.graphql.scalars import BigInt

# ISO 4217 currencies whose minor unit is not a hundredth.
_DIGITS = {"JPY": 0, "KRW": 0, "CLP": 0, "VND": 0, "ISK": 0, "KWD": 3, "BHD": 3, "TND": 3, "JOD": 3}


@strawberry.type
class Money:
    """An amount in the currency's minor units, e.g. 1999 EUR cents."""

    amount_minor: BigInt
    currency: str
    formatted: str

    @classmethod
    def of(cls, amount_minor: int, currency: str = "USD") -> Money:
        """With the amount as people read it: "19.99 EUR"."""
        digits = _DIGITS.get(currency, 2)
        sign, amount = ("-" if amount_minor < 0 else ""), abs(amount_minor)
        whole, part = divmod(amount, 10**digits)
        text = f"{whole:,}" + (f".{part:0{digits}d}" if digits else "")
        return cls(
            amount_minor=BigInt(amount_minor),
            currency=currency,
            formatted=f"{sign}{text} {currency}",
        )


@strawberry.input
class MoneyInput:
    """An amount a caller names."""

    amount_minor: BigInt
    currency: str
