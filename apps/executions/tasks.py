"""The one Dramatiq message: "look". It carries no run, so losing or doubling it changes nothing."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import dramatiq

from apps.executions import bell

logger = logging.getLogger(__name__)

DEFAULT_POOL: Final = "io"
BUSTLE_SECONDS: Final = 0.005


@dramatiq.actor(queue_name=DEFAULT_POOL)
def wake(pool: str) -> None:
    """Let the loop of this process look for work."""
    bell.ring(pool)


def ring(pool: str) -> None:
    """Wake a process of the pool. Never raises: without the bell workers look once a second."""
    _RINGER.ring(pool)


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


_RINGER: Final = Ringer(_send)
