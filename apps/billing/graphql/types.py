"""Types of billing."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Collection, Iterable
from enum import StrEnum

import strawberry
import strawberry_django
from strawberry import relay
from strawberry.scalars import JSON

from apps.billing import models, policies
from apps.billing.plans import Plan
from apps.kit.graphql.batch import related
from apps.kit.graphql.connections import Connection, Edge
from apps.kit.graphql.fields import field
from apps.kit.graphql.money import Money
from apps.kit.graphql.nodes import global_id, node_loader
from apps.kit.graphql.scalars import BigInt
from apps.tenancy import scope
from apps.tenancy.graphql.types import TenantType
from apps.tenancy.models import EnvironmentKind


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


@strawberry_django.type(
    models.UsageEntry, name="UsageEntry", description="What one finished run used."
)
class UsageEntry(TenantType, relay.Node):
    """A line of the ledger; lines are never changed."""

    state: str
    finished_at: dt.datetime

    @field()
    def execution_id(self, root: strawberry.Parent[models.UsageEntry]) -> strawberry.ID:
        """The run."""
        return global_id("Execution", root.run_id)

    @field()
    def workflow_id(self, root: strawberry.Parent[models.UsageEntry]) -> strawberry.ID:
        """What ran."""
        return global_id("Workflow", root.workflow_id)

    @field()
    def environment(self, root: strawberry.Parent[models.UsageEntry]) -> EnvironmentKind:
        """Where it ran."""
        return EnvironmentKind(related(root, "environment").kind)

    @field()
    def steps(self, root: strawberry.Parent[models.UsageEntry]) -> BigInt:
        """Attempts of steps."""
        return BigInt(root.steps)

    @field()
    def cpu_ms(self, root: strawberry.Parent[models.UsageEntry]) -> BigInt:
        """CPU time in milliseconds."""
        return BigInt(root.cpu_ms)

    @field()
    def wall_ms(self, root: strawberry.Parent[models.UsageEntry]) -> BigInt:
        """Milliseconds from start to finish."""
        return BigInt(root.wall_ms)

    @field()
    def bytes_in(self, root: strawberry.Parent[models.UsageEntry]) -> BigInt:
        """Bytes read."""
        return BigInt(root.bytes_in)

    @field()
    def bytes_out(self, root: strawberry.Parent[models.UsageEntry]) -> BigInt:
        """Bytes written."""
        return BigInt(root.bytes_out)

    @field()
    def cost(self, root: strawberry.Parent[models.UsageEntry]) -> Money:
        """What providers charge for it."""
        return Money.of(root.cost_minor)


@strawberry.type
class UsageEntryEdge(Edge[UsageEntry]):
    """A line in a page."""


@strawberry.type
class UsageEntryConnection(Connection[UsageEntry, UsageEntryEdge]):
    """A page of the ledger, the latest first."""


def _entries(keys: Collection[uuid.UUID]) -> Iterable[models.UsageEntry]:
    actor = scope.current().actor
    if actor is None or not policies.can_read_usage(actor):
        return []
    found: Iterable[models.UsageEntry] = models.UsageEntry.objects.filter(pk__in=keys)
    return found


node_loader("UsageEntry", _entries)
