"""What fails again and again in a process: how often the log hears of it, how long to wait."""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable
from typing import Final

import psycopg

logger = logging.getLogger(__name__)

LOG_SECONDS: Final = 60.0
FIRST_PAUSE: Final = 0.5
LONGEST_PAUSE: Final = 30.0
MISMATCH: Final = frozenset({"42883", "42P01", "42703"})
"""There is no such function, table or column."""


class Trouble:
    """Thread safe. A failure is logged as it comes, then once a minute as long as it lasts."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._said: dict[str, tuple[float, int]] = {}
        self._pause = 0.0
        self._until = 0.0
        self.is_over = True
        """Nothing is known that would fail again at once."""

    def met(self, what: str, error: BaseException) -> bool:
        """Log it, unless it was logged within a minute; whether it was."""
        key, now = f"{what}: {type(error).__name__}", self._clock()
        with self._lock:
            at, since = self._said.get(key, (now - LOG_SECONDS, 0))
            is_due = now - at >= LOG_SECONDS
            self._said[key] = (now, 0) if is_due else (at, since + 1)
        if is_due:
            again = f" ({since} times more since it was last said)" if since else ""
            logger.warning("%s: %s%s", what, error, again)
        return is_due

    def hold_back(self) -> None:
        """It would fail again: claim nothing for a while, which grows."""
        with self._lock:
            now = self._clock()
            if now < self._until:
                return  # One pause for all that failed before it.
            self._pause = min(max(FIRST_PAUSE, self._pause * 2), LONGEST_PAUSE)
            self._until = now + self._pause * random.uniform(0.8, 1.2)  # noqa: S311
            self.is_over = False

    def pause(self) -> float:
        """So many seconds are left of it."""
        return 0.0 if self.is_over else max(0.0, self._until - self._clock())

    def end(self) -> None:
        """Something went well."""
        with self._lock:
            self._pause = self._until = 0.0
            self.is_over = True


def is_mismatch(error: BaseException) -> bool:
    """Whether the database is not the one this code is for: whatever is tried meets that."""
    found = error.__cause__ if isinstance(error.__cause__, psycopg.Error) else error
    return isinstance(found, psycopg.Error) and found.sqlstate in MISMATCH
