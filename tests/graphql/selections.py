"""Selections made of the schema itself: everything below a field that needs no argument."""

from __future__ import annotations

from graphql import (
    GraphQLField,
    GraphQLInterfaceType,
    GraphQLNamedType,
    GraphQLObjectType,
    GraphQLSchema,
    GraphQLUnionType,
    get_named_type,
    is_leaf_type,
    is_required_argument,
)

ROWS = 2


def selection(schema: GraphQLSchema, kind: GraphQLNamedType, depth: int) -> str:
    """`{ … }` with every leaf within `depth`, or nothing for a leaf."""
    if is_leaf_type(kind):
        return ""
    if isinstance(kind, GraphQLUnionType):
        parts = [f"... on {one.name} {_fields(schema, one, depth)}" for one in kind.types]
        return "{ __typename " + " ".join(parts) + " }"
    if isinstance(kind, GraphQLInterfaceType) and kind.name == "Node":
        return "{ __typename id }"
    assert isinstance(kind, GraphQLObjectType | GraphQLInterfaceType)
    return _fields(schema, kind, depth)


def _fields(
    schema: GraphQLSchema, kind: GraphQLObjectType | GraphQLInterfaceType, depth: int
) -> str:
    parts = ["__typename"]
    for name, field in kind.fields.items():
        if any(is_required_argument(argument) for argument in field.args.values()):
            continue
        below = get_named_type(field.type)
        if is_leaf_type(below):
            parts.append(name + paged(field))
        elif depth > 0 and name != "nodes":
            inner = selection(schema, below, depth - 1)
            parts.append(f"{name}{paged(field)} {inner}")
    return "{ " + " ".join(parts) + " }"


def paged(field: GraphQLField) -> str:
    """`(first: 2)` where the field is a page."""
    return f"(first: {ROWS})" if "first" in field.args else ""
