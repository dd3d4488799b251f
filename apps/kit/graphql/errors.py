"""Errors of payloads: one interface, and members that carry what a client needs to mend the call.

An app with a refusal that carries data adds its member here, from its own `graphql` package:

    @strawberry.type
    class VersionConflictError(UserError):
        latest_version: SemVer
        suggested_version: SemVer

    register_error(VersionConflict, lambda refusal, shown: VersionConflictError(
        **shown, latest_version=SemVer(refusal.latest), suggested_version=SemVer(refusal.next)
    ), VersionConflictError)
"""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Callable
from typing import Any, TypedDict, TypeVar

import strawberry
from django.db import IntegrityError
from psycopg import errors as postgres

from apps.kit.errors import ErrorCode, QuotaExceeded, RateLimited, Refusal, StaleRevision
from apps.kit.graphql.scalars import URL, BigInt

strawberry.enum(ErrorCode)
_log = logging.getLogger(__name__)
R = TypeVar("R", bound=Refusal)


@strawberry.interface
class UserError:
    """What went wrong with the caller's input, and how to mend it."""

    message: str
    code: ErrorCode
    path: list[str] | None = strawberry.field(
        default=None, description='Path into the mutation\'s input, e.g. ["metadata","version"].'
    )


@strawberry.type
class GenericUserError(UserError):
    """A refusal that needs no more than its sentence."""


@strawberry.type
class StaleRevisionError(UserError):
    """Somebody saved in between; nothing was overwritten."""

    expected_revision: int
    current_revision: int


@strawberry.type
class QuotaExceededError(UserError):
    """A limit of the plan is reached."""

    metric: str
    limit: BigInt
    used: BigInt
    resets_at: dt.datetime | None = None
    retry_after_seconds: int | None = None
    upgrade_url: URL | None = None


@strawberry.type
class RateLimitError(UserError):
    """Too many requests in a short time."""

    retry_after_seconds: int


class Shown(TypedDict):
    """What every member shows."""

    message: str
    code: ErrorCode
    path: list[str] | None


_makers: dict[type[Refusal], Callable[[Any, Shown], UserError]] = {}
_types: list[type[UserError]] = [GenericUserError]


def register_error(
    refusal: type[R], maker: Callable[[R, Shown], UserError], shown_as: type[UserError]
) -> None:
    """Show refusals of this class as the member that `maker` builds."""
    _makers[refusal] = maker
    if shown_as not in _types:
        _types.append(shown_as)


def error_types() -> tuple[type[UserError], ...]:
    """Every member, for the schema: no field names them, so it cannot find them itself."""
    return tuple(_types)


def user_error(refusal: Refusal) -> UserError:
    """The member that shows this refusal: its own class's, else that of the nearest base."""
    shown: Shown = {
        "message": refusal.message,
        "code": refusal.code,
        "path": list(refusal.path) or None,
    }
    for kind in type(refusal).__mro__:
        maker = _makers.get(kind)
        if maker is not None:
            return maker(refusal, shown)
    return GenericUserError(**shown)


def refusal_of(error: IntegrityError) -> Refusal:
    """A constraint's verdict in words of ours: its own text names tables, columns and keys."""
    cause = error.__cause__
    name = cause.diag.constraint_name if isinstance(cause, postgres.Error) else None
    _log.warning("A constraint refused a write: %s", name)
    if isinstance(cause, postgres.UniqueViolation):
        return Refusal(
            "Something with this name or key already exists. Choose another one.",
            code=ErrorCode.ALREADY_EXISTS,
        )
    if isinstance(cause, postgres.ForeignKeyViolation):
        return Refusal(
            "The thing this points at is gone or still in use. Load it again and retry.",
            code=ErrorCode.CONFLICT,
        )
    return Refusal("A value lies outside of what is allowed here.", code=ErrorCode.INVALID)


register_error(
    StaleRevision,
    lambda refusal, shown: StaleRevisionError(
        **shown, expected_revision=refusal.expected, current_revision=refusal.current
    ),
    StaleRevisionError,
)
register_error(
    QuotaExceeded,
    lambda refusal, shown: QuotaExceededError(
        **shown,
        metric=refusal.metric,
        limit=BigInt(refusal.limit),
        used=BigInt(refusal.used),
        resets_at=refusal.resets_at,
        retry_after_seconds=refusal.retry_after_seconds,
    ),
    QuotaExceededError,
)
register_error(
    RateLimited,
    lambda refusal, shown: RateLimitError(**shown, retry_after_seconds=refusal.retry_after_seconds),
    RateLimitError,
)
