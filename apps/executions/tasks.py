"""The one Dramatiq message: "look". It carries no run, so losing or doubling it changes nothing."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final
from uuid import UUID

import dramatiq

from apps.executions import bell

logger = logging.getLogger(__name__)

DEFAULT_POOL: Final = "io"
BUSTLE_SECONDS: Final = 0.005
LONE_SECONDS: Final = 0.05
TRUST_SECONDS: Final = 0.008
"""A run that is there so soon after it was told of is found: it is looked for a little longer."""


@dramatiq.actor(queue_name=DEFAULT_POOL)
def wake(pool: str, expected: str = "") -> None:
    """Let the loop of this process look for work, or for a run that is about to be written."""
    if expected:
        bell.expect(UUID(expected), pool)
    else:
        bell.ring(pool)


def ring(pool: str) -> None:
    """Wake a process of the pool. Never raises: without the bell workers look once a second."""
    _RINGER.ring(pool)


def expect(run_id: UUID, pool: str) -> None:
    """Wake a process for a run that is written next: it looks while that is being done.

    To be followed by `ring_for` if it was written.
    """
    _FOREWARNER.tell(run_id, pool)


def ring_for(run_id: UUID, pool: str) -> None:
    """A run is ready: ring, unless somebody is looking for it already."""
    if not _FOREWARNER.has_told(run_id):
        _RINGER.ring(pool)


class Forewarner:
    """Tells of single runs before they are there; where many are started, ringing is cheaper."""

    def __init__(self, tell: Callable[[UUID, str], None], was_heard: Callable[[], bool]) -> None:
        self._tell = tell
        self._was_heard = was_heard
        self._lock = threading.Lock()
        self._asked_at = 0.0
        self._told: tuple[UUID, float] | None = None

    def tell(self, run_id: UUID, pool: str) -> None:
        """If nothing was told for a while. Does not wait."""
        now = time.monotonic()
        is_lone = now - self._asked_at >= LONE_SECONDS
        self._asked_at = now
        if is_lone and self._lock.acquire(blocking=False):
            try:
                self._told = run_id, now
                self._tell(run_id, pool)
            finally:
                self._lock.release()

    def has_told(self, run_id: UUID) -> bool:
        """Whether somebody is certain to look for it, now that it is there."""
        told = self._told
        if told is None or told[0] != run_id:
            return False
        with self._lock:
            self._told = None
            return self._was_heard() and time.monotonic() - told[1] < TRUST_SECONDS


class Ringer:
    """Makes one ring of those that follow each other closely: a look finds all that is there.

    The first rings at once; what comes right after it is told together, a moment later.
    """

    def __init__(self, ring: Callable[[str], None]) -> None:
        self._ring = ring
        self._lock = threading.Lock()
        self._rung_at: dict[str, float] = {}
        self._due: set[str] = set()
        self._later = ThreadPoolExecutor(1, thread_name_prefix="bell")

    def ring(self, pool: str) -> None:
        """After whatever was committed before the call, somebody looks."""
        with self._lock:
            if pool in self._due:
                return  # That ring is still to come.
            now = time.monotonic()
            wait = self._rung_at.get(pool, 0.0) + BUSTLE_SECONDS - now
            if wait <= 0:
                self._rung_at[pool] = now
            else:
                self._due.add(pool)
        if wait > 0:
            self._later.submit(self._ring_later, pool, wait)
        else:
            self._ring(pool)

    def _ring_later(self, pool: str, wait: float) -> None:
        time.sleep(wait)
        with self._lock:
            self._due.discard(pool)
            self._rung_at[pool] = time.monotonic()
        self._ring(pool)


def _send(pool: str) -> None:
    try:
        dramatiq.get_broker().enqueue(wake.message(pool).copy(queue_name=pool))
    except Exception as error:
        logger.warning("the doorbell of %s was not rung: %s", pool, error)


def _forewarn(run_id: UUID, pool: str) -> None:
    broker = dramatiq.get_broker()
    if hasattr(broker, "forewarn"):
        broker.forewarn(pool, run_id)


def _was_forewarned() -> bool:
    broker = dramatiq.get_broker()
    return hasattr(broker, "was_forewarned") and broker.was_forewarned()


_RINGER: Final = Ringer(_send)
_FOREWARNER: Final = Forewarner(_forewarn, _was_forewarned)
