"""What a GraphQL type of a model is: resolved from the row itself, without copying it."""

from __future__ import annotations

from typing import Self, cast

from django.db.models import Model


class ModelType:
    """Base of types made with `strawberry_django.type(Model)`; at run time the value is the row."""

    @classmethod
    def of(cls, row: Model) -> Self:
        """The row as this type, for the type checker; nothing is copied."""
        return cast("Self", row)

    @classmethod
    def maybe(cls, row: Model | None) -> Self | None:
        """The same for a row that may be missing."""
        return None if row is None else cls.of(row)
