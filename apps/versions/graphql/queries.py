"""Reads of versions: the approvals that wait, for members and for staff."""

from __future__ import annotations

import strawberry

from apps.kit.graphql.connections import window
from apps.kit.graphql.fields import field
from apps.tenancy.actors import Permission
from apps.tenancy.graphql.context import Info
from apps.versions import models
from apps.versions.graphql.approvals import ApprovalConnection
from apps.versions.models import ApprovalStatus


@strawberry.type
class Query:
    """What people are asked."""

    @field(requires=Permission.APPROVALS_DECIDE)
    def approvals(
        self,
        info: Info,
        status: ApprovalStatus | None = ApprovalStatus.PENDING,
        first: int | None = 20,
        after: str | None = None,
    ) -> ApprovalConnection:
        """Approvals of the organization, the newest first; for staff those that staff decide."""
        actor = info.context.actor
        found = models.Approval.objects.with_votes()
        if actor.tenant_id is None:
            found = found.for_staff()
        if status is not None:
            found = found.filter(status=status.value)
        return ApprovalConnection.of(
            found,
            window=window(first=first, after=after),
            key=["approvals", actor.tenant_id, status and status.value],
        )
