"""How the product refuses: one family, a stable code each, a sentence that says how to mend it.

Refusal
├── NotFound            also for what belongs to another tenant: the same sentence
├── Unauthenticated
├── Forbidden
├── Conflict
│   ├── AlreadyExists
│   ├── StaleRevision
│   └── IdempotencyMismatch
├── QuotaExceeded
└── RateLimited
"""

from __future__ import annotations

import datetime as dt
from enum import StrEnum


class ErrorCode(StrEnum):
    """The codes a client may switch on; they never change their meaning."""

    INVALID = "INVALID"
    REQUIRED = "REQUIRED"
    NOT_FOUND = "NOT_FOUND"
    FORBIDDEN = "FORBIDDEN"
    UNAUTHENTICATED = "UNAUTHENTICATED"
    CONFLICT = "CONFLICT"
    STALE_REVISION = "STALE_REVISION"
    ALREADY_EXISTS = "ALREADY_EXISTS"
    IDEMPOTENCY_MISMATCH = "IDEMPOTENCY_MISMATCH"
    QUOTA_EXCEEDED = "QUOTA_EXCEEDED"
    RATE_LIMITED = "RATE_LIMITED"
    PAYMENT_REQUIRED = "PAYMENT_REQUIRED"
    PLAN_UPGRADE_REQUIRED = "PLAN_UPGRADE_REQUIRED"
    SECURITY_SCAN_FAILED = "SECURITY_SCAN_FAILED"
    SIGNATURE_INVALID = "SIGNATURE_INVALID"
    INCOMPATIBLE = "INCOMPATIBLE"
    DEPENDENCY_UNRESOLVED = "DEPENDENCY_UNRESOLVED"
    LICENSE_NOT_ACCEPTED = "LICENSE_NOT_ACCEPTED"
    DIGEST_MISMATCH = "DIGEST_MISMATCH"
    SECRET_MISSING = "SECRET_MISSING"  # noqa: S105 - the name of a code, not a secret
    APPROVAL_REQUIRED = "APPROVAL_REQUIRED"
    YANKED = "YANKED"
    SUSPENDED = "SUSPENDED"
    UNSAFE_UPGRADE = "UNSAFE_UPGRADE"
    PROVIDER_ERROR = "PROVIDER_ERROR"
    EFFECTS_NEED_CONSENT = "EFFECTS_NEED_CONSENT"
    EXECUTION_ENDED = "EXECUTION_ENDED"


class Refusal(Exception):
    """A domain refusal. `message` may be shown; `path` points into the input at fault."""

    code: ErrorCode = ErrorCode.INVALID
    parts: tuple[Refusal, ...] = ()
    """One for each field at fault, where there are several."""

    def __init__(
        self, message: str, *, code: ErrorCode | None = None, path: tuple[str, ...] = ()
    ) -> None:
        super().__init__(message)
        self.message = message
        self.path = path
        if code is not None:
            self.code = code


class NotFound(Refusal):
    """The thing does not exist, or the caller may not know that it does."""

    code = ErrorCode.NOT_FOUND

    @classmethod
    def of(cls, noun: str, *, path: tuple[str, ...] = ()) -> NotFound:
        """The one sentence for a foreign and for a random id; it never echoes the id."""
        return cls(
            f"No {noun} with this id is visible here. Check the id and the organization.",
            path=path,
        )


class Unauthenticated(Refusal):
    """Nobody is signed in, or the key is unknown, expired or revoked."""

    code = ErrorCode.UNAUTHENTICATED


class Forbidden(Refusal):
    """The caller is known and may not do this."""

    code = ErrorCode.FORBIDDEN


class Conflict(Refusal):
    """The write contradicts the present state."""

    code = ErrorCode.CONFLICT


class AlreadyExists(Conflict):
    """A thing of this name is already there."""

    code = ErrorCode.ALREADY_EXISTS


class StaleRevision(Conflict):
    """Somebody saved in between; nothing was overwritten."""

    code = ErrorCode.STALE_REVISION

    def __init__(self, *, expected: int, current: int, path: tuple[str, ...] = ()) -> None:
        super().__init__(
            f"The draft is at revision {current}, not {expected}: somebody saved in between. "
            "Load it again, apply your change and save with the current revision.",
            path=path,
        )
        self.expected = expected
        self.current = current


class IdempotencyMismatch(Conflict):
    """The same idempotency key came with another request."""

    code = ErrorCode.IDEMPOTENCY_MISMATCH

    def __init__(self) -> None:
        super().__init__(
            "This idempotency key was used for a different request in the last 24 hours. "
            "Send the same request again or choose a new key.",
            path=("idempotencyKey",),
        )


class QuotaExceeded(Refusal):
    """A limit of the plan is reached. `limit` and `used` are in the metric's unit.

    `retry_after_seconds` where the place becomes free by itself, soon.
    """

    code = ErrorCode.QUOTA_EXCEEDED

    def __init__(
        self,
        *,
        metric: str,
        limit: int,
        used: int,
        resets_at: dt.datetime | None = None,
        retry_after_seconds: int | None = None,
    ) -> None:
        ends = f" It resets at {resets_at:%Y-%m-%d %H:%M} UTC." if resets_at else ""
        if retry_after_seconds is not None:
            ends = f" Try again in {retry_after_seconds} s."
        super().__init__(
            f"The limit of {limit} for {metric} is reached ({used} used).{ends} "
            "Free some, wait, or move to a larger plan."
        )
        self.metric = metric
        self.limit = limit
        self.used = used
        self.resets_at = resets_at
        self.retry_after_seconds = retry_after_seconds


class RateLimited(Refusal):
    """Too many requests in a short time."""

    code = ErrorCode.RATE_LIMITED

    def __init__(self, *, retry_after_seconds: int) -> None:
        super().__init__(f"Too many requests. Try again in {retry_after_seconds} s.")
        self.retry_after_seconds = retry_after_seconds
