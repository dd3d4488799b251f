"""Who asks through GraphQL."""

from __future__ import annotations

import time
import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Any, Final, Protocol, TypeAlias

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


def points_of(actor: Actor, *, lately: bool = False) -> int | None:
    """What the organization's plan gives per hour; asked once a minute.

    `lately`: what it gave when somebody asked last will do.
    """
    if actor.tenant_id is None:
        return None
    said = _points.get(actor.tenant_id)
    minute = int(time.monotonic() // 60)
    if said is None or (said[0] != minute and not lately):
        with scope.tenant(actor.tenant_id):
            said = minute, limits.allowance(limits.Metric.API_POINTS_PER_HOUR).limit
        if len(_points) >= _MOST_POINTS:
            _points.clear()
        _points[actor.tenant_id] = said
    return said[1] or None


_MOST_POINTS: Final = 4_096
_points: Final[dict[uuid.UUID, tuple[int, int]]] = {}
