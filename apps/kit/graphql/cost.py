"""What a field costs: the `@cost` directive, and the defaults for fields that carry none."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import strawberry
from graphql import (
    FieldNode,
    GraphQLField,
    IntValueNode,
    Undefined,
    VariableNode,
    get_named_type,
    is_composite_type,
)
from strawberry.schema_directive import Location
from strawberry.types.field import StrawberryField

PAGE_ARGUMENTS = ("first", "last")
MUTATION_COST = 10
_DEFINITION = "strawberry-definition"
_UNSIZED_PAGE = 20
_COST_OF_A_POINT = 10
_MAX_DIGITS = 9


@strawberry.schema_directive(
    locations=[Location.FIELD_DEFINITION],
    name="cost",
    description=(
        "Price of the field for the query cost limit; multiplied by first/last where "
        "`multipliers` says so. Read by the cost extension and by the docs."
    ),
)
class Cost:
    """`multipliers` names the arguments that say how often the children are resolved."""

    complexity: int
    multipliers: list[str] | None = strawberry.UNSET


@dataclass(frozen=True, slots=True)
class Price:
    """The price of one operation, in points, and how many rows of pages it asks for."""

    points: int
    node_count: int

    @classmethod
    def of(cls, cost: int, *, node_count: int) -> Price:
        """A point buys ten of cost, rounded up: what is asked for is seldom all there."""
        return cls(points=max(1, -(-cost // _COST_OF_A_POINT)), node_count=node_count)


def cost(complexity: int, *multipliers: str) -> Cost:
    """`strawberry.field(directives=[cost(2, "first", "last")])`."""
    return Cost(complexity=complexity, multipliers=list(multipliers) or strawberry.UNSET)


def complexity_of(field: GraphQLField) -> int:
    """The price of the field itself: its directive's, else 1 for an object and 0 for a leaf."""
    directive = _directive(field)
    if directive is not None:
        return directive.complexity
    return 1 if is_composite_type(get_named_type(field.type)) else 0


def page_arguments(field: GraphQLField) -> tuple[str, ...]:
    """The arguments that multiply the children's price; empty where the field is no page."""
    directive = _directive(field)
    if directive is not None and directive.multipliers:
        return tuple(directive.multipliers)
    return tuple(name for name in PAGE_ARGUMENTS if name in field.args)


def page_size(
    node: FieldNode, field: GraphQLField, names: tuple[str, ...], variables: Mapping[str, Any]
) -> int:
    """How many rows this selection asks for, as far as it can be known before execution."""
    given = {argument.name.value: argument.value for argument in node.arguments or ()}
    for name in names:
        value = given.get(name)
        if isinstance(value, VariableNode):
            number = variables.get(value.name.value)
            if isinstance(number, int):
                return number
        elif isinstance(value, IntValueNode):
            # Python refuses to read thousands of digits, and nobody needs a page of 10^9 rows.
            return int(value.value) if len(value.value) <= _MAX_DIGITS else 10**_MAX_DIGITS
    for name in names:
        argument = field.args.get(name)
        if argument is None:
            continue
        default = argument.default_value
        if default is not Undefined and isinstance(default, int):
            return default
    return _UNSIZED_PAGE


def _directive(field: GraphQLField) -> Cost | None:
    definition = field.extensions.get(_DEFINITION)
    if not isinstance(definition, StrawberryField):
        return None
    for directive in definition.directives:
        if isinstance(directive, Cost):
            return directive
    return None
