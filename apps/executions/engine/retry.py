"""When an attempt that failed is tried again: which codes, how often, how long to wait."""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Final

ATTEMPTS_LIMIT: Final = 100
RUN_RETRIES: Final = 1_000
"""Of all steps of one run together, where its document does not say (`limits.retries`)."""
RETRY_AFTER_LIMIT: Final = 24 * 3600.0
"""Seconds; a far side that asks for more is answered after a day."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RetryPolicy:
    """The document's `retry`: exponential backoff with full jitter, in seconds."""

    max_attempts: int = 1
    backoff_seconds: float = 1.0
    multiplier: float = 2.0
    max_backoff_seconds: float = 60.0
    retry_on: tuple[str, ...] = ("*",)

    def covers(self, code: str, *, retryable: bool) -> bool:
        """Whether a failure of this code may be tried again.

        A wildcard covers what the node calls retryable; a code spelled out covers it always.
        """
        if code in self.retry_on:
            return True
        return retryable and any(fnmatchcase(code, pattern) for pattern in self.retry_on)

    def has_left(self, *, after_attempt: int) -> bool:
        """Whether another attempt is allowed after this one."""
        return after_attempt < min(self.max_attempts, ATTEMPTS_LIMIT)

    def delay_seconds(
        self, *, after_attempt: int, fraction: float, retry_after_seconds: float | None = None
    ) -> float:
        """How long to wait: Retry-After where given, else `fraction` (0 ≤ f < 1) of the backoff."""
        if retry_after_seconds is not None:
            return min(max(retry_after_seconds, 0.0), RETRY_AFTER_LIMIT)
        try:
            ceiling = self.backoff_seconds * self.multiplier ** (after_attempt - 1)
        except OverflowError:
            ceiling = self.max_backoff_seconds
        return min(ceiling, self.max_backoff_seconds) * fraction
