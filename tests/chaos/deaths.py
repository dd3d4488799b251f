"""What workers died with, counted as the engine promises to count it."""

from __future__ import annotations

import threading
import uuid
from collections import Counter, defaultdict
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from apps.executions.engine.slice import CRASH_LIMIT
from tests.chaos.asking import ask

_HELD = (
    "SELECT w.id, w.claims, w.worker_id, w.run_id::text,"
    "       CASE w.kind WHEN 'run' THEN r.settled END,"
    "       w.kind <> 'run' OR r.settled = w.settled_seen"
    " FROM work_item w JOIN run r ON (r.tenant_id, r.id) = (w.tenant_id, w.run_id)"
    " WHERE w.worker_id IS NOT NULL AND (w.worker_id = ANY (%s) OR %s)"
)


@dataclass(frozen=True)
class Held:
    """What a worker had when it died: an item, as it was claimed for the so-manieth time."""

    item: int
    claims: int
    worker: uuid.UUID


class Deaths:
    """By run, and for each of its items: how many died with it and nothing settled in between."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._seen: set[Held] = set()
        self._lock = threading.Lock()
        self._count: defaultdict[str, Counter[Any]] = defaultdict(Counter)

    def of(self, workers: Collection[uuid.UUID]) -> list[Held]:
        """Workers that are dead, or as good as dead: what they leave behind, each claim once.

        To be asked again and again: a claim that was on its way may still be granted.
        """
        return self._noted(workers, is_everybody=False)

    def of_all(self) -> None:
        """The database goes down: what everybody does breaks off."""
        self._noted((), is_everybody=True)

    def are_enough(self, run_id: str) -> bool:
        """Whether one item of it has cost as many workers as a run is given up for."""
        with self._lock:
            return max(self._count[run_id].values(), default=0) >= CRASH_LIMIT

    def told(self, run_id: str) -> str:
        """For whoever must find out why."""
        with self._lock:
            return str(dict(self._count[run_id]))

    def _noted(self, workers: Collection[uuid.UUID], *, is_everybody: bool) -> list[Held]:
        rows = ask(self._url, _HELD, [list(workers), is_everybody])
        found = []
        with self._lock:
            for item, claims, worker, run_id, settled, in_vain in rows:
                held = Held(item=item, claims=claims, worker=worker)
                if not is_everybody and held in self._seen:
                    continue
                self._seen.add(held)
                # A worker that got on with the run before it died has not died of it.
                self._count[run_id][item, settled] += in_vain
                found.append(held)
        return found
