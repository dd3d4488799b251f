"""How an upper app adds a field to a lower app's type: knowledge goes down, imports never up."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import strawberry
from strawberry.extensions import FieldExtension
from strawberry.types import get_object_definition
from strawberry.types.field import StrawberryField


def extend(
    lower_type: type,
    name: str,
    resolver: Callable[..., Any],
    *,
    description: str | None = None,
    directives: Sequence[object] = (),
    extensions: Sequence[FieldExtension] = (),
) -> None:
    """Give `lower_type` the field `name` (snake case), resolved by `resolver(root: Parent[…], …)`.

    Called while the upper app's `graphql` package is imported, before the schema is composed. A
    name that is already taken is refused: two apps must not fight over one field.
    """
    definition = get_object_definition(lower_type, strict=True)
    if any(field.python_name == name for field in definition.fields):
        message = f"{definition.name} already has a field {name!r}"
        raise ValueError(message)
    field: StrawberryField = strawberry.field(
        resolver=resolver,
        description=description,
        directives=directives,
        extensions=list(extensions),
    )
    field.python_name = name
    field.origin = lower_type
    definition.fields.append(field)
