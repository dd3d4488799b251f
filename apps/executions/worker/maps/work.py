"""The items of a chunk, some at a time, until all are recorded or the chunk has to stop."""

from __future__ import annotations

import datetime as dt
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from apps.executions.engine.failure import Failure
from apps.executions.engine.mapping import ChunkCompleted
from apps.executions.engine.slice_ports import ChunkClaim, LeaseLost, Left
from apps.executions.engine.state import RunStatus
from apps.executions.worker.maps.item import (
    HISTORY_TOO_LARGE,
    HistoryTooLarge,
    Item,
    ItemRunner,
    failed_record,
)
from apps.executions.worker.maps.ledger import Ledger
from apps.executions.worker.maps.spending import Spending
from apps.executions.worker.maps.watch import Watch, Word
from apps.workflows.graph.declaration import Json

LOOK_SECONDS: Final = 0.2
NAP: Final = dt.timedelta(seconds=1)
"""A chunk that could go on with nothing for so long puts itself down until then."""


class Ended(StrEnum):
    """How the work on a chunk ended."""

    DONE = "DONE"
    STOPPED = "STOPPED"
    RESTED = "RESTED"
    GAVE_WAY = "GAVE_WAY"
    ASLEEP = "ASLEEP"

    @property
    def is_put_down(self) -> bool:
        """Whoever takes the chunk again goes on with it."""
        return self in (Ended.GAVE_WAY, Ended.ASLEEP)


@dataclass(kw_only=True)
class Work:
    """Filled by `add`, done by `run`."""

    claim: ChunkClaim
    watch: Watch
    ledger: Ledger
    runner: ItemRunner
    fails_fast: bool
    gives_way: Callable[[], bool]
    spending: Spending
    wake_at: dt.datetime | None = None
    """When something can go on, of a chunk that is asleep."""

    def __post_init__(self) -> None:
        self._lock = threading.Lock()
        self._fresh: deque[tuple[int, Any, Any]] = deque()
        self._waiting: list[Item] = []
        self._left: list[Item] = []
        self._running = 0
        self._ended: Ended | None = None
        self._broken: BaseException | None = None

    def add(self, idx: int, value: Any, *, history: Any = None) -> None:
        """One item; `history` where an effect has left one."""
        self._fresh.append((idx, value, history))

    def fail(self, idx: int, failure: Failure) -> None:
        """One item failed without having run."""
        found = {"index": idx, **failure.to_json()}
        self.ledger.add(failed_record(idx, found))
        self._note(found)

    def run(self) -> Ended:
        """On as many threads as slots were granted. Raises LeaseLost."""
        # After a death one at a time: the next will name the item.
        at_once = 1 if self.claim.crashes else self.claim.slots
        others = min(at_once, len(self._fresh)) - 1
        if others > 0:
            with ThreadPoolExecutor(others, thread_name_prefix="engine-items") as threads:
                for _ in range(others):
                    threads.submit(copy_context().run, self._safely)
                self._safely()
        else:
            self._safely()
        if self._broken is not None:
            raise self._broken
        return self._ended or Ended.DONE

    def keep(self) -> None:
        """What items have done that are not through, for whoever goes on with the chunk."""
        for item in self.unfinished():
            journal = item.journal
            if not journal.has_history:
                continue
            try:
                record = journal.record()
            except HistoryTooLarge:
                item.failure = HISTORY_TOO_LARGE
                self._settle(item)
            else:
                self.ledger.add(record, writes=journal.writes, strict=True)

    def unfinished(self) -> tuple[Item, ...]:
        """Items that have begun and are not through."""
        return (*self._waiting, *self._left)

    def event(self, *, stopped: bool) -> ChunkCompleted:
        """What the run is told; the counts are added by the database."""
        return ChunkCompleted(
            path=self.claim.path,
            attempt=self.claim.attempt,
            chunk=self.claim.chunk,
            done=0,
            failed=0,
            attempts=self.spending.attempts,
            stopped=stopped,
            failure=self.spending.failure,
            usage=self.spending.usage(),
        )

    def _safely(self) -> None:
        try:
            self._work()
        except BaseException as error:
            self._broken = self._broken or error

    def _work(self) -> None:
        while self._goes_on():
            item = self._next()
            if item is None:
                if self._rests():
                    return
                time.sleep(self._patience())
                self.ledger.tick()
                continue
            left = Left.YIELDED
            try:
                left = self.runner.turn(item)
            finally:
                self._back(item, left)

    def _goes_on(self) -> bool:
        if self._broken is not None or self._ended is not None:
            return False
        match self.watch.word():
            case Word.STOP:
                self._ended = Ended.STOPPED
            case Word.LOST:
                raise LeaseLost
            case Word.REST:
                self._ended = Ended.RESTED
            case Word.GO if self.watch.is_draining() or self.gives_way():
                self._ended = Ended.GAVE_WAY
            case Word.GO:
                pass
        return self._ended is None

    def _next(self) -> Item | None:
        """An item whose time has come, else a fresh one."""
        with self._lock:
            now = self.watch.now()
            for item in self._waiting:
                if self.runner.is_called(item):
                    item.state.look_again(at=now)
                elif item.wake_at is not None and item.wake_at > now:
                    continue
                self._waiting.remove(item)
                self._running += 1
                return item
            if not self._fresh:
                return None
            idx, value, history = self._fresh.popleft()
            self._running += 1
        return self.runner.begin(idx, value, history=history)

    def _back(self, item: Item, left: Left) -> None:
        settled = left is Left.FINISHED and item.is_settled
        with self._lock:
            self._running -= 1
            if left is Left.PARKED:
                self._waiting.append(item)
        if left is Left.FINISHED:
            self.spending.add(item.state.totals)
        if settled:
            self._settle(item)
        elif left is not Left.PARKED:
            is_canceled = item.state.status is RunStatus.CANCELED
            if not is_canceled:
                self._left.append(item)
            self._ended = self._ended or (Ended.STOPPED if is_canceled else Ended.GAVE_WAY)

    def _settle(self, item: Item) -> None:
        record, failure = item.outcome()
        journal = item.journal
        if failure is not None:
            self._note(failure)
        self.ledger.add(record, writes=journal.writes, strict=journal.has_begun)

    def _note(self, failure: Mapping[str, Json]) -> None:
        with self._lock:
            self.spending.failure = self.spending.failure or failure
            if self.fails_fast and self._ended is None:
                self._ended = Ended.STOPPED

    def _rests(self) -> bool:
        """Nothing is left to begin, or nothing runs and can for a while: the chunk falls asleep."""
        with self._lock:
            if not (self._fresh or self._waiting):
                return True
            times = [item.wake_at for item in self._waiting if item.wake_at is not None]
            if self._running or self._fresh or len(times) < len(self._waiting):
                return False
            if min(times) - self.watch.now() < NAP or self._ended is not None:
                return False
            self.wake_at = min(times)
            self._ended = Ended.ASLEEP
            return True

    def _patience(self) -> float:
        """Until the first item that waits is due, or somebody may have said something."""
        with self._lock:
            times = [item.wake_at for item in self._waiting if item.wake_at is not None]
        if not times:
            return LOOK_SECONDS
        left: dt.timedelta = min(times) - self.watch.now()
        return min(max(left.total_seconds(), 0.001), LOOK_SECONDS)
