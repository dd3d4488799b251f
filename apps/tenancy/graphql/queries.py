"""Reads of tenancy."""

from __future__ import annotations

import strawberry

from apps.kit.graphql.connections import window
from apps.kit.graphql.fields import field
from apps.tenancy import models
from apps.tenancy.actors import Permission
from apps.tenancy.graphql.context import Info
from apps.tenancy.graphql.types import AuditConnection, Tenant, User


@strawberry.type
class Query:
    """Who asks, and for which organization."""

    @field()
    def viewer(self, info: Info) -> User | None:
        """The person behind the session or the key."""
        people = models.User.objects.filter(pk__in=[info.context.actor.user_id])
        return User.maybe(people.first())

    @field()
    def tenant(self, info: Info) -> Tenant | None:
        """The organization the request works in; null for staff in the platform scope."""
        if info.context.actor.tenant_id is None:
            return None
        return Tenant.maybe(models.Organization.objects.first())

    @field(requires=Permission.AUDIT_READ)
    def audit_log(
        self, info: Info, first: int | None = 50, after: str | None = None
    ) -> AuditConnection:
        """Every act in the organization, the latest first."""
        return AuditConnection.of(
            models.AuditRow.objects.all(),
            order=("-at", "-id"),
            window=window(first=first, after=after),
            key=["auditLog", info.context.actor.tenant_id],
        )
