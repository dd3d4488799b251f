"""Who asks through GraphQL."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import strawberry

from apps.kit.graphql.context import RequestContext
from apps.tenancy.actors import Actor, Permission


@dataclass(kw_only=True)
class GraphQLContext(RequestContext):
    """One request with its actor; the scope is in force already."""

    actor: Actor

    def holds(self, permission: str) -> bool:
        """Whether the actor may."""
        return self.actor.has(Permission(permission))


Info: TypeAlias = strawberry.Info[GraphQLContext, None]


def payer_of(actor: Actor) -> str:
    """The bucket that pays for an actor's operations: one per key or person inside a tenant."""
    return f"{actor.tenant_id}:{actor.api_key_id or actor.user_id}"
