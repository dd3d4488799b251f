"""A map in progress: its events, its chunks, and when it is over."""

from __future__ import annotations

import datetime as dt
from collections import deque
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Final, TypeAlias

from apps.executions.engine.items_undo import ItemsUndo
from apps.executions.engine.ports import StepFailed, StepOpens, Usage
from apps.executions.engine.storable import (
    BODY_LIMIT,
)
from apps.workflows.graph.declaration import Json
from apps.workflows.graph.mapping import MapOpening, Policy

NO_USAGE: Final = Usage()
CHUNK_RESULT: Final = "chunk_result"
FAILURE_LIMIT: Final = 3 * BODY_LIMIT
"""Bytes of an item's failure: its message and details are cut, but JSON escapes them."""
MAP_ITEM_FAILED: Final = "MAP_ITEM_FAILED"
MAP_FAILURES_EXCEEDED: Final = "MAP_FAILURES_EXCEEDED"


@dataclass(frozen=True, kw_only=True, slots=True)
class StepOpened:
    """A map has looked at its items: from now on its chunks are handed out."""

    path: str
    attempt: int
    opening: MapOpening
    usage: Usage
    started_at: dt.datetime

    @property
    def attempts(self) -> int:
        """The look at the items."""
        return 1


@dataclass(frozen=True, kw_only=True, slots=True)
class ChunkDispatched:
    """A slice of the items waits for a worker of `pool`."""

    path: str
    attempt: int
    chunk: int
    pool: str
    undoes: bool = False
    """What its items did shall be undone."""

    @property
    def usage(self) -> Usage:
        """Nothing has run."""
        return NO_USAGE

    @property
    def attempts(self) -> int:
        """Nothing has run."""
        return 0


@dataclass(frozen=True, kw_only=True, slots=True)
class ChunkCompleted:
    """A slice came back: how many of its items are done and failed by now, in all.

    `stopped`: before its end, it may be handed out again. `failure`: that of its first failed item.
    """

    path: str
    attempt: int
    chunk: int
    done: int
    failed: int
    attempts: int = 0
    """Of the steps inside, since the chunk was handed out."""
    stopped: bool = False
    failure: Mapping[str, Json] | None = None
    usage: Usage = field(default_factory=Usage)
    undoes: bool = False
    """What its items did is undone, but for `misses` steps, some of which are `missed` by name."""
    missed: tuple[str, ...] = ()
    misses: int = 0
    is_cut: bool = False
    """A compensation failed in a way that forbids to go on."""


def opened(
    path: str, outcome: StepOpens, *, attempt: int, started_at: dt.datetime, parks: bool
) -> StepOpened:
    """The event of an attempt that opened a map; its body `parks` when something there may wait."""
    return StepOpened(
        path=path,
        attempt=attempt,
        opening=replace(outcome.opening, parks=parks),
        usage=outcome.usage,
        started_at=started_at,
    )


MapEvent: TypeAlias = StepOpened | ChunkDispatched | ChunkCompleted
MAP_EVENTS: Final = (StepOpened, ChunkDispatched, ChunkCompleted)


@dataclass(frozen=True, kw_only=True, slots=True)
class Chunk:
    """A slice that another process shall work on; a row beside the event that says so."""

    path: str
    attempt: int
    chunk: int
    low: int
    high: int
    pool: str
    slots: int


@dataclass(frozen=True, kw_only=True, slots=True)
class ChunkResult:
    """What the worker of a slice puts into the run's inbox."""

    event: ChunkCompleted


class MapProgress:
    """What the events of one attempt of a map amount to."""

    __slots__ = (
        "again",
        "attempt",
        "done",
        "failed",
        "failure",
        "finished",
        "is_recalled",
        "is_rested",
        "next",
        "open",
        "opening",
        "source",
        "undo",
    )

    def __init__(
        self, opening: MapOpening, *, attempt: int, before: MapProgress | None = None
    ) -> None:
        """`before`: an earlier attempt over the same items, whose clean chunks are kept."""
        self.opening = opening
        self.attempt = attempt
        self.source: str | None = None
        """The run whose items these are, where that is another."""
        self.next = 0
        self.open: dict[int, None] = {}
        self.again: deque[int] = deque()
        self.finished: dict[int, tuple[int, int]] = {}
        self.failure: Mapping[str, Json] | None = None
        self.is_recalled = False
        """The open chunks were asked to stop; noted by their owner, not by history."""
        self.is_rested = False
        """A pause is over that the runs of its items were told of; noted likewise."""
        self.done = 0
        self.failed = 0
        self.undo: ItemsUndo | None = None
        """How far its items are undone, once the run has begun with that."""
        if before is not None and before._is_like(self.opening):
            self.finished = {
                chunk: counts
                for chunk, counts in before.finished.items()
                if counts == (self._size(chunk), 0)
            }
            self.done = sum(done for done, _ in self.finished.values())

    @property
    def is_over(self) -> bool:
        """More items failed than may: no chunk is handed out any more."""
        return not self.opening.bears(self.failed)

    @property
    def is_out(self) -> bool:
        """Chunks are open, and nobody has asked for them."""
        return bool(self.open) and not self.is_recalled

    @property
    def is_complete(self) -> bool:
        """Every item has been worked on."""
        return not self.open and self.done + self.failed == self.opening.total

    def apply(self, event: ChunkDispatched | ChunkCompleted) -> None:
        """One chunk goes or comes."""
        if event.undoes:
            self._undo(event)
            return
        if isinstance(event, ChunkDispatched):
            self.open[event.chunk] = None
            if self.again and self.again[0] == event.chunk:
                self.again.popleft()
            else:
                self.next = event.chunk + 1
            return
        del self.open[event.chunk]
        done, failed = self.finished.get(event.chunk, (0, 0))
        self.done += event.done - done
        self.failed += event.failed - failed
        self.finished[event.chunk] = (event.done, event.failed)
        self.failure = self.failure or event.failure
        if event.stopped:
            self.again.append(event.chunk)

    def _undo(self, event: ChunkDispatched | ChunkCompleted) -> None:
        undo = self.undo = self.undo or ItemsUndo(self.next)
        if isinstance(event, ChunkDispatched):
            undo.went(event.chunk)
        else:
            undo.came(event.chunk, misses=event.misses, stopped=event.stopped)

    def due(self) -> Iterator[int]:
        """The chunks to hand out now, as many as may be open."""
        if self.is_over:
            return
        room = self.opening.most_open - len(self.open)
        waiting = (*self.again, *self._fresh(room))
        yield from waiting[: max(room, 0)]

    def verdict(self) -> StepFailed:
        """Why the map failed; asked when it `is_over`."""
        found = dict(self.failure or {})
        details: dict[str, Json] = {"failed": self.failed, "total": self.opening.total}
        if found:
            details["first"] = found
        said = str(found.get("message", "")) or "see the failed items"
        if self.opening.policy is Policy.FAIL_FAST:
            where = f"Item {found['index']}" if "index" in found else "An item"
            return StepFailed(
                code=MAP_ITEM_FAILED,
                message=f"{where} failed: {said}",
                retryable=True,
                details=details,
            )
        return StepFailed(
            code=MAP_FAILURES_EXCEEDED,
            message=(
                f"{self.failed:,} of {self.opening.total:,} items failed, "
                f"{self.opening.tolerated:,} may. The first: {said}"
            ),
            retryable=True,
            details=details,
        )

    def _fresh(self, most: int) -> Iterator[int]:
        found = 0
        for chunk in range(self.next, self.opening.chunks):
            if found >= most:
                return
            if chunk not in self.finished:
                found += 1
                yield chunk

    def _size(self, chunk: int) -> int:
        low, high = self.opening.span(chunk)
        return high - low

    def _is_like(self, opening: MapOpening) -> bool:
        mine = self.opening
        return (mine.total, mine.chunk_size, mine.items) == (
            opening.total,
            opening.chunk_size,
            opening.items,
        )


def await_again(mapping: Mapping[int, MapProgress], *, is_paused: bool) -> None:
    """The run moves or rests from now on: whatever was asked for before was for another reason."""
    for progress in mapping.values():
        progress.is_recalled = False
        progress.is_rested = not is_paused and progress.opening.parks and bool(progress.open)


def are_open(mapping: Mapping[int, MapProgress]) -> bool:
    """Slices of maps are out."""
    return any(progress.open for progress in mapping.values())


@dataclass(frozen=True, kw_only=True, slots=True)
class MapWork:
    """What open maps need now: by the positions of their steps."""

    chunks: tuple[tuple[int, int], ...] = ()
    """Slices to hand out."""
    recalls: tuple[int, ...] = ()
    """Their slices shall come back."""
    reduces: tuple[int, ...] = ()
    """All items are recorded: gather the results."""
    failures: tuple[int, ...] = ()
    """Too many items failed, and nothing of them runs any more."""
    undos: tuple[tuple[int, int], ...] = ()
    """Slices to hand out, to be undone."""


def map_work(
    mapping: Mapping[int, MapProgress],
    *,
    is_paused: bool = False,
    halted: Collection[int] = (),
) -> MapWork | None:
    """None while all that can be done is to wait for chunks.

    A paused run hands nothing out, and wants back what is out, each after its current items.
    `halted`: nobody needs these maps any more, they only come home.
    """
    chunks: list[tuple[int, int]] = []
    recalls: list[int] = []
    reduces: list[int] = []
    failures: list[int] = []
    for index, progress in mapping.items():
        is_halted = index in halted
        if is_halted or is_paused or progress.is_over:
            if progress.is_out:
                recalls.append(index)
            elif progress.is_over and not (is_halted or progress.open):
                failures.append(index)
        elif progress.is_rested:
            recalls.append(index)
        elif progress.is_complete:
            reduces.append(index)
        else:
            chunks += ((index, chunk) for chunk in progress.due())
    if not (chunks or recalls or reduces or failures):
        return None
    return MapWork(
        chunks=tuple(chunks),
        recalls=tuple(recalls),
        reduces=tuple(reduces),
        failures=tuple(failures),
    )
