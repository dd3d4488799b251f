"""Reads of billing."""

from __future__ import annotations

import strawberry

from apps.billing.graphql.types import UsageEntryConnection
from apps.billing.models import UsageEntry
from apps.kit.graphql.connections import window
from apps.kit.graphql.fields import field
from apps.tenancy.actors import Permission
from apps.tenancy.graphql.context import Info


@strawberry.type
class Query:
    """What was used."""

    @field(requires=Permission.BILLING_READ)
    def usage_ledger(
        self, info: Info, first: int = 20, after: str | None = None
    ) -> UsageEntryConnection:
        """Every finished run with what it used, the latest first."""
        return UsageEntryConnection.of(
            UsageEntry.objects.all(),
            order=("-finished_at", "-id"),
            window=window(first=first, after=after),
            key=["usageLedger", info.context.actor.tenant_id],
        )
