"""Types of tenancy, and the base that every type of a tenant's model inherits."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Collection, Iterable
from typing import Any

import strawberry
import strawberry_django
from django.db.models import Q, QuerySet
from strawberry import relay
from strawberry.scalars import JSON

from apps.kit.graphql.batch import related, share
from apps.kit.graphql.connections import Connection, Edge
from apps.kit.graphql.fields import field
from apps.kit.graphql.mutations import Payload
from apps.kit.graphql.nodes import node_loader
from apps.kit.graphql.scalars import URL, BigInt
from apps.kit.graphql.types import ModelType
from apps.tenancy import limits, models, scope
from apps.tenancy.actors import Permission
from apps.tenancy.graphql.context import Info
from apps.tenancy.managers import Owned
from apps.tenancy.models import EnvironmentKind

strawberry.enum(EnvironmentKind, name="Environment")
_MEMBERS_SHOWN = 500


class TenantType(ModelType):
    """Belt two: whatever reaches for rows through a type sees those of the tenant in force only."""

    @classmethod
    def get_queryset(cls, queryset: QuerySet[Any], info: Info | None, **_: Any) -> QuerySet[Any]:
        """Filtered again, even where a QuerySet was built without the managers."""
        return queryset.filter(Owned("tenant", platform=True))


@strawberry_django.type(models.User, name="User", description="A person.")
class User(ModelType, relay.Node):
    """People are global; who sees one is decided where it is reached."""

    @field()
    def display_name(self, root: strawberry.Parent[models.User]) -> str:
        """What others see."""
        return root.display_name

    @field()
    def email(self, root: strawberry.Parent[models.User], info: Info) -> str | None:
        """Shown to the person and to admins of a shared organization."""
        actor = info.context.actor
        shown = actor.user_id == root.pk or actor.has(Permission.TENANT_ADMIN) or actor.is_staff
        return root.email if shown else None

    @field()
    def avatar_url(self) -> URL | None:
        """No pictures yet."""
        return None

    @classmethod
    def get_queryset(cls, queryset: QuerySet[Any], info: Info | None, **_: Any) -> QuerySet[Any]:
        """Oneself and the members of the organization in force."""
        return queryset.filter(pk__in=visible_people().values("pk"))


def visible_people() -> QuerySet[models.User]:
    """Oneself and the members of the organization in force; staff in the platform scope see all."""
    held = scope.current()
    if held.is_platform:
        return models.User.objects.all()
    fellows = models.Membership.objects.values("user_id")
    seen = Q(pk__in=fellows) if held.user_id is None else Q(pk__in=fellows) | Q(pk=held.user_id)
    return models.User.objects.filter(seen)


@strawberry_django.type(models.Membership, name="Membership", description="A place and its role.")
class Membership(TenantType):
    """A person's place in an organization."""

    role: str
    joined_at: dt.datetime

    @field()
    def user(self, root: strawberry.Parent[models.Membership]) -> User:
        """Whose place it is."""
        return User.of(related(root, "user"))


@strawberry_django.type(
    models.Environment, name="DeploymentEnvironment", description="Where versions are deployed."
)
class DeploymentEnvironment(TenantType, relay.Node):
    """A row per tenant; the enum `Environment` means the default one of its kind."""

    name: str

    @field()
    def kind(self, root: strawberry.Parent[models.Environment]) -> EnvironmentKind:
        """Its kind."""
        return EnvironmentKind(root.kind)


@strawberry.type(description="How much of a metric an organization may have, and has.")
class UsageMeter:
    """One metric in the current period."""

    metric: str
    used: BigInt
    limit: BigInt | None
    period_start: dt.datetime
    period_end: dt.datetime
    projected: BigInt | None = None


@strawberry_django.type(
    models.Organization, name="Tenant", description="An organization: owner of everything in it."
)
class Tenant(ModelType, relay.Node):
    """The organization in force; `plan` and `publisher` come from the apps that know them."""

    slug: str
    name: str

    @field(points=5)
    def members(self, root: strawberry.Parent[models.Organization]) -> list[Membership]:
        """Who has a place here, the longest standing first; at most 500."""
        rows = list(models.Membership.objects.select_related("user")[:_MEMBERS_SHOWN])
        share(rows)
        return [Membership.of(row) for row in rows]

    @field(points=2)
    def environments(
        self, root: strawberry.Parent[models.Organization]
    ) -> list[DeploymentEnvironment]:
        """Where versions are deployed."""
        rows = models.Environment.objects.all()[:_MEMBERS_SHOWN]
        return [DeploymentEnvironment.of(row) for row in rows]

    @field(points=2)
    def usage(self, root: strawberry.Parent[models.Organization]) -> list[UsageMeter]:
        """Every metric with what is used in the current month, or at all."""
        return [_meter(allowance) for allowance in limits.allowances()]

    @field()
    def settings(self, root: strawberry.Parent[models.Organization]) -> JSON:
        """What the organization has chosen."""
        return JSON({})

    @classmethod
    def get_queryset(cls, queryset: QuerySet[Any], info: Info | None, **_: Any) -> QuerySet[Any]:
        """The organization in force."""
        return queryset.filter(Owned("id", platform=True))


@strawberry_django.type(models.AuditRow, name="AuditEvent", description="One act, append-only.")
class AuditEvent(TenantType, relay.Node):
    """Who did what to what; sealed into a hash chain within seconds."""

    at: dt.datetime
    actor: str
    action: str
    target: str
    ip: str | None
    before: JSON | None
    after: JSON | None

    @field()
    def hash(self, root: strawberry.Parent[models.AuditRow]) -> str:
        """SHA-256 over this row and its predecessor's hash; empty until it is sealed."""
        return root.hash or ""

    @field()
    def previous_hash(self, root: strawberry.Parent[models.AuditRow]) -> str:
        """The predecessor's hash; empty until it is sealed."""
        return root.previous_hash or ""


@strawberry.type
class AuditEdge(Edge[AuditEvent]):
    """One act in a page."""


@strawberry.type
class AuditConnection(Connection[AuditEvent, AuditEdge]):
    """A page of the audit trail, the latest first."""


@strawberry_django.type(models.ApiKey, name="ApiKey", description="A key for programs.")
class ApiKey(TenantType, relay.Node):
    """What is known of a key; its text was shown once."""

    name: str
    prefix: str
    scopes: list[str]
    created_at: dt.datetime
    last_used_at: dt.datetime | None
    expires_at: dt.datetime | None


@strawberry.type
class ApiKeyPayload(Payload):
    """The new key."""

    api_key: ApiKey | None = None
    secret: str | None = strawberry.field(default=None, description="Shown once.")


@strawberry.type
class SimplePayload(Payload):
    """Done, or why not."""

    ok: bool = False


def _meter(allowance: limits.Allowance) -> UsageMeter:
    ends = allowance.resets_at
    now = dt.datetime.now(dt.UTC)
    start = now.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    return UsageMeter(
        metric=allowance.metric.value,
        used=BigInt(allowance.used),
        limit=BigInt(allowance.limit),
        period_start=start,
        period_end=ends or now,
    )


def _api_keys(keys: Collection[uuid.UUID]) -> Iterable[models.ApiKey]:
    held = scope.current()
    rows = models.ApiKey.objects.filter(pk__in=keys)
    if held.actor is None or not held.actor.has(Permission.TENANT_ADMIN):
        rows = rows.filter(user_id__in=[held.user_id])
    return rows


def _audit(keys: Collection[uuid.UUID]) -> Iterable[models.AuditRow]:
    held = scope.current()
    if held.actor is None or not held.actor.has(Permission.AUDIT_READ):
        return []
    return models.AuditRow.objects.filter(pk__in=keys)


node_loader("User", lambda keys: visible_people().filter(pk__in=keys))
node_loader("Tenant", lambda keys: models.Organization.objects.filter(pk__in=keys))
node_loader("DeploymentEnvironment", lambda keys: models.Environment.objects.filter(pk__in=keys))
node_loader("AuditEvent", _audit)
node_loader("ApiKey", _api_keys)
