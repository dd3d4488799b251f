"""Whether this process may trust that its runs are its own, and what time the database has."""

from __future__ import annotations

import datetime as dt
import math
import threading
import time
from typing import Final

LEASE_SECONDS: Final = 15.0
BEAT_SECONDS: Final = 5.0
TRUST_SECONDS: Final = 10.0
"""After the last beat that succeeded: five seconds before anybody may take the runs away."""


class Lease:
    """The lease of one incarnation, read by every thread on every step."""

    def __init__(self, *, trust_seconds: float = TRUST_SECONDS) -> None:
        self._trust_seconds = trust_seconds
        self._until = 0.0
        self._offset = time.time() - time.monotonic()
        self._dead = threading.Event()

    def renewed(self, *, sent_at: float, database_time: dt.datetime) -> None:
        """A beat succeeded; `sent_at` is the monotonic instant before it was sent."""
        if not self._dead.is_set():
            self._until = sent_at + self._trust_seconds
        self._offset = database_time.timestamp() - (sent_at + time.monotonic()) / 2

    def die(self) -> None:
        """The database says this incarnation is dead: for good."""
        self._dead.set()
        self._until = -math.inf

    def is_lost(self) -> bool:
        """True from the moment on that another process might own the runs."""
        return time.monotonic() >= self._until

    def is_dead(self) -> bool:
        """True when no beat will ever succeed again."""
        return self._dead.is_set()

    def now(self) -> dt.datetime:
        """The database's clock, to within the time of a round trip."""
        return dt.datetime.fromtimestamp(time.monotonic() + self._offset, dt.UTC)
