"""Who asks through GraphQL."""

from __future__ import annotations

import functools
import time
import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeAlias

import strawberry

from apps.kit.graphql.context import RequestContext
from apps.tenancy import limits, scope
from apps.tenancy.actors import Actor, Permission


@dataclass(kw_only=True)
class GraphQLContext(RequestContext):
    """One request with its actor; the scope is in force already."""

    actor: Actor

    def holds(self, permission: str) -> bool:
        """Whether the actor may."""
        return self.actor.has(Permission(permission))


class Listener(Protocol):
    """What a subscription needs of its socket."""

    def listen_to_channel(
        self, type: str, *, groups: Sequence[str] = ()
    ) -> AbstractAsyncContextManager[AsyncIterator[dict[str, Any]]]:
        """Messages of one type sent to these groups from now on."""


@dataclass(kw_only=True)
class SocketContext(GraphQLContext):
    """One socket; the actor is known once the connection is initialized."""

    ws: Listener
    connection_params: dict[str, Any] = field(default_factory=dict)


Info: TypeAlias = strawberry.Info[GraphQLContext, None]
SocketInfo: TypeAlias = strawberry.Info[SocketContext, None]


def may(permission: Permission) -> bool:
    """Whether the actor of the scope in force may; for loaders that no field guards."""
    actor = scope.current().actor
    return actor is not None and actor.has(permission)


def payer_of(actor: Actor) -> str:
    """The bucket that pays for an actor's operations: the organization's, or the staff member's."""
    return str(actor.tenant_id or actor.user_id)


def points_of(actor: Actor) -> int | None:
    """What the organization's plan gives per hour; asked once a minute."""
    if actor.tenant_id is None:
        return None
    return _points(actor.tenant_id, int(time.monotonic() // 60)) or None


@functools.lru_cache(maxsize=4_096)
def _points(tenant_id: uuid.UUID, minute: int) -> int:
    with scope.tenant(tenant_id):
        return limits.allowance(limits.Metric.API_POINTS_PER_HOUR).limit
