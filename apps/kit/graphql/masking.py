"""What a client sees of an error: our own sentences and codes; never the words of a library."""

from __future__ import annotations

import logging
from collections.abc import Sequence

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
_log = logging.getLogger("nstarx.graphql")


def shown(errors: Sequence[GraphQLError], *, request_id: str) -> list[GraphQLError]:
    """The errors as the client gets them: each with `extensions.code` and `requestId`."""
    return [_shown(error, request_id) for error in errors]


def _shown(error: GraphQLError, request_id: str) -> GraphQLError:
    cause = _cause(error)
    if isinstance(cause, Refusal):
        extensions: dict[str, object] = {"code": cause.code.value}
        if cause.path:
            extensions["path"] = list(cause.path)
        if isinstance(cause, RateLimited):
            extensions["retryAfterSeconds"] = cause.retry_after_seconds
        return _copy(error, cause.message, request_id, extensions)
    if "code" in (error.extensions or {}):
        return _copy(error, error.message, request_id, dict(error.extensions or {}))
    if isinstance(error, GraphQLSyntaxError):
        return _copy(error, error.message, request_id, {"code": PARSE_FAILED})
    if isinstance(cause, InvalidOperationTypeError):
        message = "Send queries and mutations by POST; only subscriptions use the socket."
        return _copy(error, message, request_id, {"code": ErrorCode.INVALID.value})
    if isinstance(cause, CannotGetOperationTypeError | MissingQueryError):
        message = "Name one operation of the query that is sent."
        return _copy(error, message, request_id, {"code": ErrorCode.INVALID.value})
    if cause is None:
        # graphql-core's own verdict on the request: it quotes nothing but the request.
        code = VALIDATION_FAILED if error.path is None else ErrorCode.INVALID.value
        return _copy(error, error.message, request_id, {"code": code})
    if error.path is None and isinstance(cause, ValueError) and error.nodes:
        # A variable that one of our scalars refused, in the scalar's own words.
        return _copy(error, error.message, request_id, {"code": ErrorCode.INVALID.value})
    _log.error("Unexpected error in a GraphQL operation (request %s)", request_id, exc_info=cause)
    message = f"Something went wrong on our side. Support can find it under {request_id}."
    return _copy(error, message, request_id, {"code": INTERNAL})


def _cause(error: GraphQLError) -> Exception | None:
    cause: Exception | None = error.original_error
    while isinstance(cause, GraphQLError):
        cause = cause.original_error
    return cause


def _copy(
    error: GraphQLError, message: str, request_id: str, extensions: dict[str, object]
) -> GraphQLError:
    return GraphQLError(
        message,
        nodes=error.nodes,
        source=error.source,
        positions=error.positions,
        path=error.path,
        extensions={**extensions, "requestId": request_id},
    )
