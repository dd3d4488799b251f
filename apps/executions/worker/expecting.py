"""Runs that are about to be written: their worker is awake before they are."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable
from typing import Final
from uuid import UUID

EXPECT_SECONDS: Final = 0.010
"""How long one is looked for. Whoever tells of a run and writes it in less need not ring."""
HASTE_SECONDS: Final = 0.0002
"""Between two looks: a look costs as much, and warms what the run will need."""


class Expecting:
    """Told by one thread, asked by another."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._runs: dict[UUID, tuple[str, float]] = {}

    def add(self, run_id: UUID, pool: str) -> None:
        """It will be there in a moment, or never."""
        with self._lock:
            self._runs[run_id] = pool, time.monotonic() + EXPECT_SECONDS

    def met(self, run_ids: Iterable[UUID]) -> None:
        """These have been claimed."""
        if self._runs:
            with self._lock:
                for run_id in run_ids:
                    self._runs.pop(run_id, None)

    def __bool__(self) -> bool:
        return bool(self._runs)

    def first(self, pool: str) -> UUID | None:
        """The one to wait for there."""
        if not self._runs:
            return None
        with self._lock:
            return next((run for run, one in self._runs.items() if one[0] == pool), None)

    def pools(self) -> frozenset[str]:
        """Where to look at once; a last time for those whose time is over."""
        if not self._runs:
            return frozenset()
        now = time.monotonic()
        with self._lock:
            wanted = frozenset(pool for pool, _ in self._runs.values())
            self._runs = {key: one for key, one in self._runs.items() if one[1] > now}
        return wanted
