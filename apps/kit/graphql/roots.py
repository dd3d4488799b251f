"""The root fields that belong to no app: `node`, `nodes`, `rateLimit`."""

from __future__ import annotations

import datetime as dt
from typing import Any

import strawberry
from strawberry import relay
from strawberry.types import get_object_definition

from apps.kit.errors import Refusal
from apps.kit.graphql.fields import field
from apps.kit.graphql.nodes import load_nodes, split_id

_MOST_NODES = 50


@strawberry.type(description="What this request cost and what is left; as in extensions.cost.")
class RateLimit:
    """One bucket of points, seen by the operation that has just paid."""

    limit: int
    cost: int
    remaining: int
    reset_at: dt.datetime
    node_count: int


@strawberry.type
class RootQuery:
    """Reads that every type takes part in."""

    @field(points=2)
    def node(self, info: strawberry.Info, id: strawberry.ID) -> relay.Node | None:
        """Any object by its id; null for an id that is not visible here."""
        found: relay.Node | None = _nodes(info, [id])[0]
        return found

    @field(points=50)
    def nodes(self, info: strawberry.Info, ids: list[strawberry.ID]) -> list[relay.Node | None]:
        """Up to 50 objects by their ids, in the order asked for."""
        if len(ids) > _MOST_NODES:
            message = f"Ask for at most {_MOST_NODES} objects at a time."
            raise Refusal(message, path=("ids",))
        return _nodes(info, ids)

    @field()
    def rate_limit(self, info: strawberry.Info) -> RateLimit:
        """What this operation cost, and what is left to the caller."""
        charge = info.context.charge
        return RateLimit(
            limit=charge.limit,
            cost=charge.price.points,
            remaining=charge.remaining,
            reset_at=charge.reset_at,
            node_count=charge.price.node_count,
        )


def _nodes(info: strawberry.Info, values: list[strawberry.ID]) -> list[Any]:
    loaded = load_nodes(values)
    return [_named(info, value, loaded.get(value)) for value in values]


def _named(info: strawberry.Info, value: str, found: Any) -> Any:
    if found is None:
        return None
    # Two types may show the same model: say which one the id named.
    name, _ = split_id(value) or ("", None)
    definition = info.schema.get_type_by_name(name)
    origin = getattr(definition, "origin", None)
    if origin is None or get_object_definition(type(found)) is not None:
        return found
    return strawberry.cast(origin, found)
