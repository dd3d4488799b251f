"""Texts to checked documents: parsed once, validated once, and remembered within bounds."""

from __future__ import annotations

from functools import lru_cache

from graphql import (
    ASTValidationRule,
    DocumentNode,
    GraphQLError,
    GraphQLSchema,
    parse,
    specified_rules,
)
from strawberry.schema.schema import validate_document

from apps.kit.graphql.limits import TOO_COMPLEX, Limits

# A document takes a hundred times the memory of its text, and everybody may send texts: what a
# client repeats is short, and some hundreds are enough.
_REMEMBERED_CHARACTERS = 4_096
_REMEMBERED_TEXTS = 256
_RULES: tuple[type[ASTValidationRule], ...] = tuple(specified_rules)


def parsed(query: str, limits: Limits) -> DocumentNode:
    """The document of a text. Raises GraphQLError for what is too long, too deep or no GraphQL."""
    if len(query) > limits.query_characters:
        message = (
            f"The query text exceeds {limits.query_characters} characters. "
            "Send large values as variables."
        )
        raise GraphQLError(message, extensions={"code": TOO_COMPLEX})
    try:
        if len(query) > _REMEMBERED_CHARACTERS:
            return parse(query, max_tokens=limits.tokens)
        return _remembered_document(query, limits.tokens)
    except RecursionError:
        raise GraphQLError(
            "The query nests too deeply.", extensions={"code": TOO_COMPLEX}
        ) from None


def faults(schema: GraphQLSchema, query: str, limits: Limits) -> list[GraphQLError]:
    """What the specification's own rules find; empty for a valid document."""
    if len(query) > _REMEMBERED_CHARACTERS:
        return validate_document(schema, parsed(query, limits), _RULES)
    return list(_remembered_faults(schema, query, limits.tokens))


@lru_cache(maxsize=_REMEMBERED_TEXTS)
def _remembered_document(query: str, tokens: int) -> DocumentNode:
    return parse(query, max_tokens=tokens)


@lru_cache(maxsize=_REMEMBERED_TEXTS)
def _remembered_faults(schema: GraphQLSchema, query: str, tokens: int) -> tuple[GraphQLError, ...]:
    return tuple(validate_document(schema, _remembered_document(query, tokens), _RULES))
