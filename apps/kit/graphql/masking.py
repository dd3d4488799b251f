"""What a client sees of an error: our own sentences and codes; never the words of a library."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TypeAlias

from graphql import GraphQLError, GraphQLSyntaxError
from strawberry.exceptions import MissingQueryError
from strawberry.schema.exceptions import (
    CannotGetOperationTypeError,
    InvalidOperationTypeError,
)

from apps.kit.errors import ErrorCode, RateLimited, Refusal

PARSE_FAILED = "GRAPHQL_PARSE_FAILED"
VALIDATION_FAILED = "GRAPHQL_VALIDATION_FAILED"
INTERNAL = "INTERNAL"
Told: TypeAlias = tuple[str, dict[str, object]]
_log = logging.getLogger("nstarx.graphql")


def shown(errors: Sequence[GraphQLError], *, request_id: str) -> list[GraphQLError]:
    """The errors as the client gets them: each with `extensions.code` and `requestId`."""
    return [_shown(error, request_id) for error in errors]


def _shown(error: GraphQLError, request_id: str) -> GraphQLError:
    cause = _cause(error)
    told = _of_refusal(cause) if isinstance(cause, Refusal) else _of_request(error, cause)
    if told is None:
        _log.error(
            "Unexpected error in a GraphQL operation (request %s)",
            request_id,
            exc_info=cause or error,
        )
        message = f"Something went wrong on our side. Support can find it under {request_id}."
        told = message, {"code": INTERNAL}
    message, extensions = told
    return GraphQLError(
        message,
        nodes=error.nodes,
        source=error.source,
        positions=error.positions,
        path=error.path,
        extensions={**extensions, "requestId": request_id},
    )


def _of_refusal(refusal: Refusal) -> Told:
    extensions: dict[str, object] = {"code": refusal.code.value}
    if refusal.path:
        extensions["path"] = list(refusal.path)
    if isinstance(refusal, RateLimited):
        extensions["retryAfterSeconds"] = refusal.retry_after_seconds
    return refusal.message, extensions


def _of_request(error: GraphQLError, cause: Exception | None) -> Told | None:
    """What is wrong with the request, in words that quote nothing but the request."""
    if "code" in (error.extensions or {}):
        return error.message, dict(error.extensions or {})
    if isinstance(error, GraphQLSyntaxError):
        return error.message, {"code": PARSE_FAILED}
    invalid: dict[str, object] = {"code": ErrorCode.INVALID.value}
    if isinstance(cause, InvalidOperationTypeError):
        return "Send queries and mutations by POST; only subscriptions use the socket.", invalid
    if isinstance(cause, CannotGetOperationTypeError | MissingQueryError):
        return "Name one operation of the query that is sent.", invalid
    if cause is None and error.path is None:
        return error.message, {"code": VALIDATION_FAILED}
    if cause is None and error.message.startswith("Argument "):
        # An argument whose variable is null. Whatever else graphql-core says of a field while it
        # executes is about a value of ours, and quotes it.
        return error.message, invalid
    if error.path is None and isinstance(cause, ValueError) and error.nodes:
        # A variable that one of our scalars refused, in the scalar's own words.
        return error.message, invalid
    return None


def _cause(error: GraphQLError) -> Exception | None:
    cause: Exception | None = error.original_error
    while isinstance(cause, GraphQLError):
        cause = cause.original_error
    return cause
