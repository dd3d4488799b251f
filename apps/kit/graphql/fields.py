"""The decorator for fields of queries and types: description, permission and price in one place."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import strawberry
from strawberry.extensions import FieldExtension
from strawberry.types.field import StrawberryField

from apps.kit.graphql.access import Requires
from apps.kit.graphql.cost import cost


def field(
    *,
    requires: str | None = None,
    points: int | None = None,
    multipliers: Sequence[str] = (),
    description: str | None = None,
    name: str | None = None,
    extensions: Sequence[FieldExtension] = (),
) -> Callable[[Callable[..., Any]], StrawberryField]:
    """Make a field out of a method; its docstring's first line describes it.

    `requires`: a permission, refused loudly (FORBIDDEN). `points`, `multipliers`: its `@cost`; a
    field with a `first` or `last` argument multiplies its children's price without being told.
    """

    def decorate(resolver: Callable[..., Any]) -> StrawberryField:
        made: StrawberryField = strawberry.field(
            resolver,
            name=name,
            description=description or first_line(resolver),
            directives=[] if points is None else [cost(points, *multipliers)],
            extensions=[*([Requires(requires)] if requires else []), *extensions],
        )
        return made

    return decorate


def subscription(
    *, description: str | None = None
) -> Callable[[Callable[..., Any]], StrawberryField]:
    """Make a root field of Subscription out of an async generator method.

    It checks its permission itself, in its first lines: what runs before a generator cannot.
    """

    def decorate(resolver: Callable[..., Any]) -> StrawberryField:
        made: StrawberryField = strawberry.subscription(
            resolver,
            description=description or first_line(resolver),
        )
        return made

    return decorate


def first_line(resolver: Callable[..., Any]) -> str | None:
    """The sentence that describes a field to its callers."""
    return (resolver.__doc__ or "").strip().partition("\n")[0] or None
