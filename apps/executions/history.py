"""Reading a run: its events from a sequence on, its steps as the fold of them, its logs.

Everything here runs inside the caller's tenant scope (`scope.transaction()`), so what belongs to
another tenant is simply not there.
"""

from __future__ import annotations

import datetime as dt
import uuid
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from django.db.models import BooleanField, F, Func, JSONField, Q, Value

from apps.executions.engine.codec import decode
from apps.executions.engine.failure import Failure
from apps.executions.engine.history import (
    Event,
    RunEnded,
    StepDispatched,
    StepEvent,
    StepSkipped,
    StepStarted,
)
from apps.executions.engine.mapping import (
    ChunkCompleted,
    ChunkDispatched,
    MapProgress,
    StepOpened,
)
from apps.executions.engine.paths import placed
from apps.executions.engine.ports import Usage
from apps.executions.engine.record import StepRecord, close_record
from apps.executions.engine.seeds import Origin, StepReused
from apps.executions.engine.state import StepStatus
from apps.executions.engine.wait_events import StepWaiting
from apps.executions.models import LogLine, Run, RunEvent
from apps.executions.parts import map_of
from apps.versions.models import WorkflowVersion
from apps.workflows.graph.waits import Wait

EVENTS_AT_ONCE: Final = 500


def _nodes_where(condition: str) -> Func:
    return Func(
        F("document"),
        template=f"jsonb_path_query_array(%(expressions)s, '$.nodes[*]{condition}.id')",
        output_field=JSONField(),
    )


_NAMES: Final = _nodes_where("")
_BODIES: Final = _nodes_where(" ? (exists(@.parentId) && @.parentId != null)")
_HAS_MORE: Final = Func(
    F("document"),
    template="jsonb_path_exists(%(expressions)s, '$.nodes[*] ? (@.parentId != null"
    " || @.compensation != null || exists(@.onError[*].with))')",
    output_field=BooleanField(),
)


@dataclass(frozen=True, kw_only=True)
class EventView:
    """One event: `seq` is gapless from 1; `type` such as "step.completed"; `path` of a step.

    `body` by type: step.completed {startedAt (ms since 1970), outputs, conditions?, usage?};
    step.attempt_failed {startedAt, error, retryAt, usage?}; step.failed {startedAt, error,
    handling, usage?}; step.dispatched {pool}; step.started {startedAt}; step.skipped {reason};
    step.waiting {startedAt, kind, until?, name?, key?, payload?, due?, usage?}; signal.received
    {id, name, payload, key?, by?}; step.reused {run, outputs, conditions?, error?}; step.given
    {generation?, inputs?, outputs?, alone?}; run.queued {trigger, by?}; run.canceling {reason,
    by?}; run.failed and run.timed_out {error}.
    """

    seq: int
    type: str
    path: str | None
    attempt: int | None
    body: Mapping[str, Any]
    at: dt.datetime

    @property
    def is_last(self) -> bool:
        """Nothing follows in this run."""
        return self.type.startswith("run.") and self.type not in _OPENING


_UNSETTLED: Final = (
    StepDispatched,
    StepStarted,
    StepWaiting,
    StepOpened,
    ChunkDispatched,
    ChunkCompleted,
)
_HELD: Final = (StepStatus.WAITING, StepStatus.IN_DOUBT)
_OPENING: Final = frozenset(
    {
        "run.queued",
        "run.started",
        "run.paused",
        "run.resumed",
        "run.canceling",
        "run.compensating",
        "run.compensated",
    }
)


@dataclass(frozen=True, kw_only=True)
class StepView:
    """One node's latest state in a run; `path` is the node id (containers will lengthen it).

    `error` is {code, message, nodeId, attempt, details?}; while a step waits for its next attempt
    it holds the last failure and `retry_at` is set.
    """

    path: str
    status: StepStatus
    attempt: int = 0
    started_at: dt.datetime | None = None
    finished_at: dt.datetime | None = None
    outputs: Mapping[str, Any] = field(default_factory=dict)
    error: Mapping[str, Any] | None = None
    retry_at: dt.datetime | None = None
    wait: Wait | None = None
    """What the step waits for, while it does."""
    skip_reason: str | None = None
    usage: Usage | None = None
    origin: Origin | None = None
    reused_from: str | None = None
    """The run whose outcome this is."""
    mapping: MapProgress | None = None
    """How far the items of a map are."""
    seq: int = 0
    """Of the latest event of the step; 0 when there is none."""

    @property
    def duration(self) -> dt.timedelta | None:
        """Of the last attempt."""
        if self.started_at is None or self.finished_at is None:
            return None
        return self.finished_at - self.started_at


def events_after(
    run_id: uuid.UUID, seq: int, *, limit: int = EVENTS_AT_ONCE
) -> tuple[EventView, ...]:
    """Events of a run with a greater sequence, in order, at most 500."""
    rows = RunEvent.objects.filter(run_id=run_id, seq__gt=seq).order_by("seq")
    return tuple(_event(row) for row in rows[: min(limit, EVENTS_AT_ONCE)])


def latest_event(run_id: uuid.UUID, path: str) -> Event | None:
    """The last thing that history says of a step; None where it says nothing."""
    row = RunEvent.objects.filter(run_id=run_id, path=path).order_by("-seq").first()
    if row is None:
        return None
    return decode(row.type, path=row.path, attempt=row.attempt, body=row.body or {})


def all_events(run_id: uuid.UUID) -> Iterator[EventView]:
    """The whole history, read in parts."""
    rows = RunEvent.objects.filter(run_id=run_id).order_by("seq")
    return (_event(row) for row in rows.iterator(1_000))


def steps(run: Run) -> tuple[StepView, ...]:
    """Every node of the run's version in document order, folded from the whole history."""
    return step_views(all_events(run.pk), names=_paths([run])[run.pk])


@dataclass(frozen=True, kw_only=True)
class StepPage:
    """Some of a run's steps, in the order of the document, and how many there are altogether."""

    steps: tuple[StepView, ...]
    total: int


def step_pages(runs: Collection[Run], *, start: int, size: int) -> dict[uuid.UUID, StepPage]:
    """The steps from `start` on, at most `size`, of each run; two queries, whatever the runs.

    Only the events of the steps on the page are read, and those of the run itself.
    """
    names = _paths(runs)
    shown = {pk: nodes[start : start + size] for pk, nodes in names.items()}
    folded = _folded(shown)
    return {pk: StepPage(steps=folded[pk], total=len(names[pk])) for pk in names}


def steps_at(run: Run, paths: Collection[str]) -> tuple[StepView, ...]:
    """The steps of a run at these paths; what the version does not have is not among them."""
    return _folded({run.pk: [path for path in _paths([run])[run.pk] if path in paths]})[run.pk]


def _folded(shown: Mapping[uuid.UUID, list[str]]) -> dict[uuid.UUID, tuple[StepView, ...]]:
    """The named steps of each run."""
    events: dict[uuid.UUID, list[EventView]] = defaultdict(list)
    rows = RunEvent.objects.filter(
        Q(path=None) | Q(path__in={name for names in shown.values() for name in names}),
        run_id__in=list(shown),
    )
    for row in rows.order_by("run_id", "seq").iterator(1_000):
        if row.path is None or row.path in shown[row.run_id]:
            events[row.run_id].append(_event(row))
    return {pk: step_views(events[pk], names=names) for pk, names in shown.items()}


def _paths(runs: Collection[Run]) -> dict[uuid.UUID, list[str]]:
    """The steps of each run, in document order; the documents stay where they are.

    Those of containers and on call are known from history alone: it is asked only where the
    document has such nodes.
    """
    found = {
        pk: (names, set(bodies), has_more)
        for pk, names, bodies, has_more in WorkflowVersion.objects.filter(
            pk__in={run.version_id for run in runs}
        )
        .annotate(names=_NAMES, bodies=_BODIES, has_more=_HAS_MORE)
        .values_list("pk", "names", "bodies", "has_more")
    }
    asked = [run.pk for run in runs if run.version_id in found and found[run.version_id][2]]
    opened: dict[uuid.UUID, list[str]] = defaultdict(list)
    if asked:
        rows = RunEvent.objects.filter(run_id__in=asked, path__contains="/")
        for pk, path in rows.values_list("run_id", "path").distinct():
            opened[pk].append(str(path))
    paths: dict[uuid.UUID, list[str]] = {}
    bodies_of: dict[tuple[uuid.UUID, str], list[str]] = {}
    for run in runs:
        names, bodies, _ = found.get(run.version_id, ([], set(), False))
        drawn = [name for name in names if name not in bodies]
        if (around := map_of(run)) is not None:
            key = (run.version_id, around)
            drawn = bodies_of[key] = bodies_of.get(key) or _body(*key)
        paths[run.pk] = placed([*drawn, *opened[run.pk]], names) if opened[run.pk] else drawn
    return paths


def _body(version_id: uuid.UUID, container: str) -> list[str]:
    """The nodes that stand in a container, in document order."""
    inside = Func(
        F("document"),
        Value(container),
        function="jsonb_path_query_array",
        template="%(function)s(%(expressions)s::text))",
        arg_joiner=", '$.nodes[*] ? (@.parentId == $around).id', jsonb_build_object('around', ",
        output_field=JSONField(),
    )
    rows = WorkflowVersion.objects.filter(pk=version_id).values_list(inside)
    return [name for (names,) in rows for name in names]


def step_views(events: Iterable[EventView], *, names: Iterable[str] = ()) -> tuple[StepView, ...]:
    """Steps by events; `names` adds nodes without an event and gives the order.

    A node without an event is BLOCKED, or CANCELED once the run has ended without it.
    """
    folded = {name: _Folding() for name in names}
    has_ended = False
    for view in events:
        event = decode(view.type, path=view.path, attempt=view.attempt, body=view.body)
        if isinstance(event, RunEnded):
            has_ended = True
        elif isinstance(event, StepEvent):
            folding = folded.setdefault(event.path, _Folding())
            record = folding.record
            if record.status is StepStatus.RETRY_WAIT or (
                record.status is StepStatus.BLOCKED and not isinstance(event, StepSkipped)
            ):
                record.status = StepStatus.READY
            elif record.iterations and record.status is StepStatus.RUNNING:
                record.ask_again()
            record.apply(event)
            folding.seq = view.seq
            folding.finished_at = None if isinstance(event, _UNSETTLED) else view.at
            folding.reused_from = event.run_id if isinstance(event, StepReused) else None
    if has_ended:
        for folding in folded.values():
            close_record(folding.record)
    return tuple(_view(path, folding) for path, folding in folded.items())


def logs(run_id: uuid.UUID, *, path: str | None = None, levels: Iterable[str] | None = None) -> Any:
    """A QuerySet of LogLine, oldest first, for keyset pages over `id`."""
    lines = LogLine.objects.filter(run_id=run_id).order_by("id")
    if path is not None:
        lines = lines.filter(path=path)
    if levels is not None:
        lines = lines.filter(level__in=list(levels))
    return lines


class _Folding:
    """A step while its events are read."""

    __slots__ = ("finished_at", "record", "reused_from", "seq")

    def __init__(self) -> None:
        self.record = StepRecord(StepStatus.BLOCKED)
        self.finished_at: dt.datetime | None = None
        self.reused_from: str | None = None
        self.seq = 0


def _view(path: str, folding: _Folding) -> StepView:
    record = folding.record
    failure: Failure | None = record.failure
    waits = record.status is StepStatus.RETRY_WAIT
    return StepView(
        path=path,
        status=record.status,
        attempt=record.attempt,
        started_at=record.started_at,
        finished_at=folding.finished_at,
        outputs=record.outputs,
        error=failure.to_json() if failure else None,
        retry_at=record.retry_at if waits else None,
        wait=record.wait if record.status in _HELD else None,
        skip_reason=record.skip_reason.value if record.skip_reason else None,
        usage=record.usage,
        origin=record.origin,
        reused_from=folding.reused_from,
        mapping=record.mapping,
        seq=folding.seq,
    )


def _event(row: RunEvent) -> EventView:
    return EventView(
        seq=row.seq,
        type=row.type,
        path=row.path,
        attempt=row.attempt,
        body=row.body or {},
        at=row.at,
    )
