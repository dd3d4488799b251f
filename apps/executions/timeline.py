"""A run's history as people read it: a line for each attempt of each step, in graph order."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, assert_never

from apps.executions.engine.failure import Failure
from apps.executions.engine.history import (
    AttemptFailed,
    Event,
    StepCanceled,
    StepCompleted,
    StepDispatched,
    StepEvent,
    StepFailed,
    StepSkipped,
    StepStarted,
)
from apps.executions.engine.iteration_events import StepIterated
from apps.executions.engine.mapping import ChunkCompleted, ChunkDispatched, MapProgress, StepOpened
from apps.executions.engine.paths import node_of, placed
from apps.executions.engine.rescue_events import StepCalled, StepCompensated
from apps.executions.engine.seeds import Origin, StepReused
from apps.executions.engine.state import RunStatus, StepStatus
from apps.executions.engine.wait_events import StepWaiting
from apps.workflows.graph.callees import SUBWORKFLOW
from apps.workflows.graph.declaration import Json
from apps.workflows.graph.waits import Wait, WaitKind

_CHILD: Final = WaitKind.CHILD

_SILENT: Final[Mapping[type[StepEvent], StepStatus]] = {
    StepSkipped: StepStatus.SKIPPED,
    StepCalled: StepStatus.READY,
    StepCompensated: StepStatus.COMPENSATED,
}
SCALE = 1000
"""Bars are measured in thousandths of the run."""


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """One attempt of one step; `attempt` is 0 for a step that has not begun."""

    path: str
    name: str
    type: str
    status: StepStatus = StepStatus.BLOCKED
    attempt: int = 0
    started_at: dt.datetime | None = None
    finished_at: dt.datetime | None = None
    failure: Failure | None = None
    outputs: Mapping[str, Json] = field(default_factory=dict)
    wait: Wait | None = None
    origin: Origin | None = None
    reused_from: str | None = None
    """The run whose outcome this is."""
    mapping: MapProgress | None = None
    """How far the items of a map are, at its latest attempt."""

    @property
    def is_call(self) -> bool:
        """Whether a run of its own stands for it."""
        return self.type == SUBWORKFLOW or (self.wait is not None and self.wait.kind is _CHILD)

    @property
    def around(self) -> str:
        """The iterations it belongs to, `refine[3]`; empty outside containers."""
        return self.path.rpartition("/")[0]

    def duration_ms(self, *, until: dt.datetime) -> float | None:
        """From its begin to its end, or to `until` while it runs."""
        if self.started_at is None:
            return None
        return ((self.finished_at or until) - self.started_at).total_seconds() * 1000

    def bar(self, *, since: dt.datetime | None, until: dt.datetime) -> tuple[int, int]:
        """Begin and width in thousandths of the run; a width of 0 for what never began."""
        if self.started_at is None or since is None:
            return (0, 0)
        whole = max((until - since).total_seconds(), 0.001)
        begin = (self.started_at - since).total_seconds() / whole * SCALE
        end = ((self.finished_at or until) - since).total_seconds() / whole * SCALE
        left = round(min(max(begin, 0), SCALE - 4))
        return (left, max(4, min(round(end), SCALE) - left))


def attempts_of(
    document: Mapping[str, Any],
    history: Iterable[tuple[dt.datetime, Event]],
    *,
    run: RunStatus,
) -> tuple[Attempt, ...]:
    """Every attempt in the document's order; steps without one appear once, as they stand."""
    blanks = {
        key: Attempt(path=key, name=str(node.get("name") or key), type=str(node.get("type") or ""))
        for node in document.get("nodes") or ()
        for key in (str(node["id"]),)
    }
    found: dict[str, list[Attempt]] = {}
    maps: dict[str, MapProgress] = {}
    for at, event in history:
        if not isinstance(event, StepEvent) or _follow(maps, event):
            continue
        known = blanks.get(node_of(event.path))
        name, type_ = (known.name, known.type) if known else (event.path, "")
        line = _line(event, at, Attempt(path=event.path, name=name, type=type_))
        attempts = found.setdefault(event.path, [])
        if isinstance(event, StepCompensated) and attempts:
            attempts[-1] = replace(attempts[-1], status=StepStatus.COMPENSATED)
            continue
        if attempts and not attempts[-1].attempt:
            attempts.pop()
        # A start and the end of the same attempt are one line.
        if attempts and line.attempt and attempts[-1].attempt == line.attempt:
            before = attempts.pop()
            begun = (one.started_at for one in (before, line) if one.started_at is not None)
            line = replace(line, started_at=min(begun, default=None))
            if before.wait is not None and line.finished_at is not None:
                # What it measured was its question; the answer came when this was recorded.
                line = replace(line, finished_at=at)
        attempts.append(line)
    for path, progress in maps.items():
        found[path][-1] = replace(found[path][-1], mapping=progress)
    settled = {path: lines[-1].status for path, lines in found.items()}
    bodies = {str(n["id"]) for n in document.get("nodes") or () if n.get("parentId")}
    for key, blank in blanks.items():
        if key in bodies:
            continue  # It is known by its iterations.
        found.setdefault(key, [_silent(blank, document, settled, run)])
    return tuple(line for path in placed(found, blanks) for line in _closed(found[path], run))


_PLAIN: Mapping[type[StepEvent], StepStatus] = {
    StepDispatched: StepStatus.READY,
    ChunkDispatched: StepStatus.RUNNING,
    ChunkCompleted: StepStatus.RUNNING,
    StepCanceled: StepStatus.CANCELED,
}


def _line(event: StepEvent, at: dt.datetime, blank: Attempt) -> Attempt:
    match event:
        case StepDispatched() | ChunkDispatched() | ChunkCompleted() | StepCanceled():
            return replace(blank, status=_PLAIN[type(event)], attempt=event.attempt)
        case StepWaiting():
            return replace(
                blank,
                status=StepStatus.IN_DOUBT
                if event.wait.kind is WaitKind.DOUBT
                else StepStatus.WAITING,
                attempt=event.attempt,
                started_at=event.started_at,
                wait=event.wait,
            )
        case StepIterated() | StepStarted() | StepOpened():
            return replace(
                blank,
                status=StepStatus.RUNNING,
                attempt=event.attempt,
                started_at=event.started_at,
            )
        case StepCompleted():
            return replace(
                blank,
                status=StepStatus.CACHED if event.origin is Origin.CACHED else StepStatus.SUCCEEDED,
                attempt=event.attempt,
                started_at=event.started_at,
                finished_at=_end(event.started_at, event.usage.wall_ms, at),
                outputs=event.outputs,
                origin=event.origin,
            )
        case StepReused():
            failure = None if event.error is None else Failure.from_json(event.error)
            return replace(
                blank,
                status=StepStatus.SUCCEEDED if failure is None else StepStatus.FAILED,
                attempt=event.attempt,
                failure=failure,
                outputs=event.outputs,
                reused_from=event.run_id,
            )
        case AttemptFailed() | StepFailed():
            return replace(
                blank,
                status=StepStatus.FAILED,
                attempt=event.attempt,
                started_at=event.started_at,
                finished_at=_end(event.started_at, event.usage.wall_ms, at),
                failure=event.failure,
            )
        case StepSkipped() | StepCalled() | StepCompensated():
            return replace(blank, status=_SILENT[type(event)])
        case _:
            assert_never(event)


def _follow(maps: dict[str, MapProgress], event: StepEvent) -> bool:
    """How far the maps are after one event more; of a map only its last word may be known.

    True where that is all there is to say: undoing its items is no attempt of the map.
    """
    if isinstance(event, StepOpened):
        maps[event.path] = MapProgress(
            event.opening, attempt=event.attempt, before=maps.get(event.path)
        )
    elif isinstance(event, ChunkDispatched | ChunkCompleted) and event.path in maps:
        maps[event.path].apply(event)
    return isinstance(event, ChunkDispatched | ChunkCompleted) and event.undoes


def _end(begun: dt.datetime, wall_ms: int, recorded: dt.datetime) -> dt.datetime:
    """Pure steps are recorded in groups, later than they end: the measured time is the truth.

    What is too short to be measured ends as it begins at the earliest: the worker knows the
    database's clock to a few milliseconds.
    """
    return begun + dt.timedelta(milliseconds=wall_ms) if wall_ms else max(begun, recorded)


def _silent(
    blank: Attempt,
    document: Mapping[str, Any],
    settled: Mapping[str, StepStatus],
    run: RunStatus,
) -> Attempt:
    """A step that history does not mention: it waits, may run unrecorded, or never will."""
    if run.is_terminal:
        return replace(blank, status=StepStatus.CANCELED)
    before = [
        str(wire.get("source"))
        for wire in document.get("connections") or ()
        if str(wire.get("target")) == blank.path
    ]
    is_free = run is RunStatus.RUNNING and all(
        settled.get(one, StepStatus.BLOCKED).is_settled for one in before
    )
    return replace(blank, status=StepStatus.READY) if is_free else blank


def _closed(lines: Sequence[Attempt], run: RunStatus) -> Sequence[Attempt]:
    """What still ran when the run ended was stopped with it."""
    last = lines[-1]
    if not run.is_terminal or last.status.is_settled:
        return lines
    return [*lines[:-1], replace(last, status=StepStatus.CANCELED)]
