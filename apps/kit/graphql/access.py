"""Who may select a field: the `@requiresScope` directive and what enforces it, loudly."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import strawberry
from graphql import GraphQLError
from strawberry.extensions import FieldExtension
from strawberry.schema_directive import Location
from strawberry.types.field import StrawberryField

from apps.kit.errors import ErrorCode
from apps.kit.graphql.context import RequestContext


@strawberry.schema_directive(
    locations=[Location.FIELD_DEFINITION],
    name="requiresScope",
    description="Scope an API key must hold to select the field.",
)
class RequiresScope:
    """Shown in the schema; `requires` enforces what it says."""

    scope: str


class Requires(FieldExtension):
    """Refuses the field with FORBIDDEN unless the caller holds the permission."""

    def __init__(self, permission: str) -> None:
        self.permission = permission

    def apply(self, field: StrawberryField) -> None:
        """Say in the schema what is enforced here."""
        field.directives = [*field.directives, RequiresScope(scope=str(self.permission))]

    def resolve(
        self, next_: Callable[..., Any], source: Any, info: strawberry.Info, **kwargs: Any
    ) -> Any:
        """Check, then go on."""
        self.check(info.context)
        return next_(source, info, **kwargs)

    def check(self, context: RequestContext) -> None:
        """Raise where the permission is missing."""
        if not context.holds(self.permission):
            message = (
                f"This needs the scope {self.permission}. Use a key or a role that includes it."
            )
            raise GraphQLError(
                message,
                extensions={
                    "code": ErrorCode.FORBIDDEN.value,
                    "requiredScope": str(self.permission),
                },
            )


def requires(permission: str) -> Requires:
    """`strawberry.field(extensions=[requires(Permission.AUDIT_READ)])`."""
    return Requires(permission)
