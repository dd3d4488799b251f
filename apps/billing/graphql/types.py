"""Types of billing."""

from __future__ import annotations

import datetime as dt
from enum import StrEnum

import strawberry
from strawberry.scalars import JSON

from apps.billing.plans import Plan


@strawberry.enum
class EntitlementStatus(StrEnum):
    """Where something that is paid for stands."""

    TRIALING = "TRIALING"
    ACTIVE = "ACTIVE"
    PAST_DUE = "PAST_DUE"
    CANCELED = "CANCELED"
    REFUNDED = "REFUNDED"
    EXPIRED = "EXPIRED"


@strawberry.type(description="What an organization's plan allows.")
class PlanInfo:
    """A plan as its organization has it."""

    key: str
    name: str
    status: EntitlementStatus
    renews_at: dt.datetime | None
    limits: JSON

    @classmethod
    def of(cls, plan: Plan) -> PlanInfo:
        """A plan is active until it can be paid for, and renews when it has to be."""
        return cls(
            key=plan.key.value,
            name=plan.name,
            status=EntitlementStatus.ACTIVE,
            renews_at=None,
            limits=JSON({metric.value: limit for metric, limit in plan.limits.items()}),
        )
