"""What the plumbing must know about a request; the doors above fill it in."""

from __future__ import annotations

from dataclasses import dataclass

from apps.kit.graphql.charging import Charge


@dataclass(kw_only=True)
class RequestContext:
    """One GraphQL request. Subclassed by the app that knows who asks."""

    request_id: str
    # Names the bucket that pays, and what it holds; none: what the platform gives everybody.
    payer: str
    points_per_hour: int | None = None
    idempotency_header: str | None = None
    charge: Charge | None = None

    def holds(self, permission: str) -> bool:
        """Whether the caller holds a permission. The base knows nobody."""
        return False
