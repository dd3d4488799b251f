"""What workers died with, counted as the engine promises to count it."""

from __future__ import annotations

import threading
from collections import Counter, defaultdict
from typing import Any

from apps.executions.engine.slice import CRASH_LIMIT
from tests.chaos.asking import ask

_HELD = (
    "SELECT w.id, w.run_id::text, CASE w.kind WHEN 'run' THEN r.settled END,"
    "       w.kind <> 'run' OR r.settled = w.settled_seen, w.worker_id"
    " FROM work_item w JOIN run r ON (r.tenant_id, r.id) = (w.tenant_id, w.run_id)"
    " WHERE w.worker_id IS NOT NULL AND (w.worker_id = %s OR %s)"
)


class Deaths:
    """By run, and for each of its items: how many died with it and nothing settled in between."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._seen: set[tuple[object, int]] = set()
        self._lock = threading.Lock()
        self._count: defaultdict[str, Counter[Any]] = defaultdict(Counter)

    def of(self, worker: object) -> list[int]:
        """A worker is dead, or as good as dead: the items that it leaves behind, each once.

        To be asked again a moment later: a claim that was on its way may still be granted.
        """
        return self._noted(worker)

    def of_all(self) -> None:
        """The database goes down: what everybody does breaks off."""
        self._noted(None)

    def are_enough(self, run_id: str) -> bool:
        """Whether one item of it has cost as many workers as a run is given up for."""
        with self._lock:
            return max(self._count[run_id].values(), default=0) >= CRASH_LIMIT

    def told(self, run_id: str) -> str:
        """For whoever must find out why."""
        with self._lock:
            return str(dict(self._count[run_id]))

    def _noted(self, worker: object | None) -> list[int]:
        is_everybody = worker is None
        held = ask(self._url, _HELD, [worker, is_everybody])
        found = []
        with self._lock:
            for item, run_id, settled, in_vain, holder in held:
                if not is_everybody and (holder, item) in self._seen:
                    continue
                self._seen.add((holder, item))
                # A worker that got on with the run before it died has not died of it.
                self._count[run_id][item, settled] += in_vain
                found.append(item)
        return found
