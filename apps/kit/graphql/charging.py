"""Who pays for an operation: one bucket of points per caller, in Redis, and what is shown of it."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

from apps.kit.clock import now
from apps.kit.errors import RateLimited
from apps.kit.graphql.cost import Price
from apps.kit.rate_limit import Bucket, take

# A page of a hundred rows with everything on it costs some hundreds of points.
POINTS = Bucket(name="graphql", capacity=20_000, per_second=200)


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


def charge(payer: str, price: Price) -> Charge:
    """Take the price from the payer's bucket. Raises RateLimited when it holds less."""
    allowance = take(POINTS, payer, cost=price.points)
    if not allowance.allowed:
        raise RateLimited(retry_after_seconds=allowance.retry_after_seconds)
    return Charge(
        price=price,
        limit=allowance.limit,
        remaining=allowance.remaining,
        reset_at=now() + dt.timedelta(seconds=allowance.full_after_seconds),
    )
