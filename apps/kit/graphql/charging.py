"""Who pays for an operation: one bucket of points per caller, in Redis, and what is shown of it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from apps.kit.clock import now
from apps.kit.errors import RateLimited
from apps.kit.graphql.cost import Price
from apps.kit.rate_limit import Allowance, Asking, Bucket

_HOUR = 3_600
# The API shows the figures as 32-bit integers.
_MOST = 2_000_000_000
# What a caller without a plan of its own has. A page of a hundred rows costs some hundreds.
POINTS = Bucket(name="graphql", capacity=20_000, per_second=20_000 / _HOUR)


@dataclass(frozen=True, kw_only=True)
class Charge:
    """What an operation took, and what is left to its caller."""

    price: Price
    limit: int
    remaining: int
    reset_at: dt.datetime

    def to_json(self) -> dict[str, object]:
        """As `extensions.cost` shows it; the same numbers as the `rateLimit` field."""
        return {
            "limit": self.limit,
            "cost": self.price.points,
            "remaining": self.remaining,
            "resetAt": self.reset_at.isoformat().replace("+00:00", "Z"),
            "nodeCount": self.price.node_count,
        }


@contextmanager
def charging(
    payer: str, price: Price, *, points_per_hour: int | None = None
) -> Iterator[Callable[[], Charge]]:
    """Take the price from the payer's bucket; what is given waits for the answer.

    It raises RateLimited when the bucket holds less. The bucket holds an hour's points and refills
    evenly.
    """
    bucket = POINTS
    if points_per_hour:
        capacity = min(points_per_hour, _MOST)
        bucket = Bucket(name=POINTS.name, capacity=capacity, per_second=capacity / _HOUR)
    with Asking(bucket, payer, cost=price.points) as asking:
        yield lambda: _charged(price, asking.allowance())


def charge(payer: str, price: Price, *, points_per_hour: int | None = None) -> Charge:
    """`charging`, and the answer is waited for."""
    with charging(payer, price, points_per_hour=points_per_hour) as charged:
        return charged()


def _charged(price: Price, allowance: Allowance) -> Charge:
    if not allowance.allowed:
        raise RateLimited(retry_after_seconds=allowance.retry_after_seconds)
    return Charge(
        price=price,
        limit=allowance.limit,
        remaining=allowance.remaining,
        reset_at=now() + dt.timedelta(seconds=allowance.full_after_seconds),
    )
