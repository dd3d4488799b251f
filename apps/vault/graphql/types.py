"""Types of the vault."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Collection, Iterable

import strawberry
import strawberry_django
from strawberry import relay

from apps.kit.errors import NotFound
from apps.kit.graphql.batch import related
from apps.kit.graphql.fields import field
from apps.kit.graphql.mutations import Payload
from apps.kit.graphql.nodes import node_loader
from apps.tenancy import scope
from apps.tenancy.graphql.types import TenantType, User
from apps.tenancy.models import Environment, EnvironmentKind
from apps.vault import models, policies


@strawberry_django.type(
    models.Secret, name="SecretInfo", description="A secret's name and history; never its value."
)
class SecretInfo(TenantType):
    """What may be known of a secret."""

    name: str
    updated_at: dt.datetime

    @field()
    def environment(self, root: strawberry.Parent[models.Secret]) -> EnvironmentKind:
        """Where it is set."""
        return EnvironmentKind(related(root, "environment").kind)

    @field()
    def version(self, root: strawberry.Parent[models.Secret]) -> int:
        """Counts from 1; each new value is one more."""
        return root.current_version

    @field()
    def updated_by(self, root: strawberry.Parent[models.Secret]) -> User | None:
        """Who set the value; null when the platform did."""
        return User.maybe(related(root, "updated_by"))


@strawberry_django.type(
    models.Connection,
    name="Connection",
    description="A typed credential in one environment; listings bind their slots to it.",
)
class Connection(TenantType, relay.Node):
    """What may be known of a connection."""

    name: str
    connector_type: str
    last_checked_at: dt.datetime | None
    healthy: bool | None

    @field()
    def environment(self, root: strawberry.Parent[models.Connection]) -> EnvironmentKind:
        """Where it is saved."""
        return EnvironmentKind(related(root, "environment").kind)


@strawberry.type
class ConnectionPayload(Payload):
    """The saved connection."""

    connection: Connection | None = None


def default_environment(kind: EnvironmentKind) -> Environment:
    """The environment that a kind alone means."""
    found: Environment | None = Environment.objects.filter(kind=kind, is_default=True).first()
    if found is None:
        raise NotFound.of("environment", path=("environment",))
    return found


def _connections(keys: Collection[uuid.UUID]) -> Iterable[models.Connection]:
    actor = scope.current().actor
    if actor is None or not policies.can_list_connections(actor):
        return []
    found: Iterable[models.Connection] = models.Connection.objects.filter(pk__in=keys)
    return found


node_loader("Connection", _connections)
