"""The one way to write through GraphQL: a savepoint around the body, refusals as payload data."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import strawberry
from django.db import DataError, IntegrityError, transaction
from strawberry.extensions import FieldExtension
from strawberry.types.base import StrawberryOptional, get_object_definition
from strawberry.types.field import StrawberryField

from apps.kit.errors import Refusal
from apps.kit.graphql.access import Requires
from apps.kit.graphql.cost import MUTATION_COST, cost
from apps.kit.graphql.errors import UserError, refusal_of, user_error
from apps.kit.graphql.fields import first_line

_KEY = "idempotency_key"


@strawberry.type
class Payload:
    """What a mutation answers: the objects it wrote, or why nothing was written."""

    errors: list[UserError] = strawberry.field(default_factory=list)


class Atomic(FieldExtension):
    """Runs the body in a savepoint; a refusal rolls it back and becomes `payload.errors`."""

    def resolve(
        self, next_: Callable[..., Any], source: Any, info: strawberry.Info, **kwargs: Any
    ) -> Any:
        """Everything the body wrote stays, or nothing does."""
        try:
            self._idempotency(info, kwargs)
            with transaction.atomic():
                return next_(source, info, **kwargs)
        except Refusal as refusal:
            return self._refused(info, refusal)
        except IntegrityError as error:
            return self._refused(info, refusal_of(error))
        except RecursionError:
            return self._refused(info, Refusal("The input nests too deeply. Make it flatter."))
        except DataError:
            return self._refused(
                info, Refusal("A value does not fit: too long, too large or not text.")
            )

    def _idempotency(self, info: strawberry.Info, kwargs: dict[str, Any]) -> None:
        # The Idempotency-Key header does the same as the argument; the argument wins.
        if _KEY not in kwargs:
            return
        kwargs[_KEY] = kwargs[_KEY] or info.context.idempotency_header

    def _refused(self, info: strawberry.Info, refusal: Refusal) -> Payload:
        payload = _payload_type(info)
        if payload is None:
            # The field has no payload to carry the error: it becomes a top-level one.
            raise refusal
        return payload(errors=[user_error(one) for one in refusal.parts or (refusal,)])


def _payload_type(info: strawberry.Info) -> type[Payload] | None:
    kind = info.return_type
    if isinstance(kind, StrawberryOptional):
        kind = kind.of_type
    definition = get_object_definition(kind)
    origin = definition.origin if definition is not None else kind
    return origin if isinstance(origin, type) and issubclass(origin, Payload) else None


def mutation(
    *,
    requires: str | None = None,
    points: int = MUTATION_COST,
    description: str | None = None,
    extensions: Sequence[FieldExtension] = (),
) -> Callable[[Callable[..., Any]], StrawberryField]:
    """Make a root field of Mutation out of a method that returns a `Payload`.

    `requires` is a permission; missing, the call fails with a top-level FORBIDDEN. The method calls
    one action and returns its payload; it neither catches refusals nor opens transactions.
    """

    def decorate(resolver: Callable[..., Any]) -> StrawberryField:
        guards: list[FieldExtension] = [Requires(requires)] if requires else []
        made: StrawberryField = strawberry.field(
            resolver,
            description=description or first_line(resolver),
            directives=[] if points == MUTATION_COST else [cost(points)],
            extensions=[*guards, Atomic(), *extensions],
        )
        return made

    return decorate
