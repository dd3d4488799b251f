"""One step's place in its life, and what all attempts of a run cost: sums of events."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import assert_never

from apps.executions.engine.failure import Failure
from apps.executions.engine.history import (
    AttemptFailed,
    Handling,
    SkipReason,
    StepCanceled,
    StepCompleted,
    StepDispatched,
    StepEvent,
    StepFailed,
    StepSkipped,
    StepStarted,
)
from apps.executions.engine.iteration_events import StepIterated
from apps.executions.engine.mapping import (
    ChunkCompleted,
    ChunkDispatched,
    MapEvent,
    MapProgress,
    StepOpened,
)
from apps.executions.engine.plan import Link
from apps.executions.engine.ports import Usage
from apps.executions.engine.rescue_events import StepCalled, StepCompensated
from apps.executions.engine.seeds import Origin, StepReused
from apps.executions.engine.state import IllegalTransition, StepStatus, moved_step
from apps.executions.engine.wait_events import StepWaiting
from apps.workflows.graph.declaration import ERROR_PORT, Json
from apps.workflows.graph.waits import Wait, WaitKind

NO_OUTPUTS: Mapping[str, Json] = {}
ROUTED = (Handling.ROUTE, Handling.COMPENSATE)
"""How a failure may leave by the error port: a path, or the one that follows undoing."""

SUCCEEDED_BY: Mapping[Origin, StepStatus] = {
    Origin.CACHED: StepStatus.CACHED,
    Origin.PINNED: StepStatus.SUCCEEDED,
}


class StepRecord:
    """One step's place in its life: what its events amount to, whoever reads them."""

    __slots__ = (
        "attempt",
        "conditions",
        "failure",
        "handling",
        "iterations",
        "mapping",
        "origin",
        "outputs",
        "retry_at",
        "skip_reason",
        "stand_in",
        "started_at",
        "status",
        "usage",
        "wait",
    )

    def __init__(self, status: StepStatus) -> None:
        self.status = status
        self.attempt = 0
        self.outputs: Mapping[str, Json] = NO_OUTPUTS
        self.conditions: Mapping[str, bool] = {}
        self.iterations = 0
        self.failure: Failure | None = None
        self.handling: Handling | None = None
        self.origin: Origin | None = None
        self.mapping: MapProgress | None = None
        self.retry_at: dt.datetime | None = None
        self.skip_reason: SkipReason | None = None
        self.stand_in: StepRecord | None = None
        """Of the step that runs in the place of this one, which failed."""
        self.started_at: dt.datetime | None = None
        self.usage: Usage | None = None
        self.wait: Wait | None = None

    def apply(self, event: StepEvent) -> None:
        """Move along the table. Raises IllegalTransition for a history that cannot be."""
        if isinstance(event, StepCompleted):
            to = StepStatus.SUCCEEDED if event.origin is None else SUCCEEDED_BY[event.origin]
            self._attempted(event, to=to)
            self.outputs, self.origin = event.outputs, event.origin
            self.conditions = event.conditions
            self.failure = None
        elif isinstance(event, StepDispatched):
            self.attempt = event.attempt
        elif isinstance(event, StepStarted):
            self.status = moved_step(self.status, to=StepStatus.RUNNING)
            self.attempt = event.attempt
            self._begin(event.started_at)
        elif isinstance(event, StepIterated | MapEvent):
            self._go_on(event)
        elif isinstance(event, AttemptFailed):
            self._attempted(event, to=StepStatus.RETRY_WAIT)
            self.failure = event.failure
            self.retry_at = event.retry_at
        elif isinstance(event, StepWaiting):
            is_doubt = event.wait.kind is WaitKind.DOUBT
            self._attempted(event, to=StepStatus.IN_DOUBT if is_doubt else StepStatus.WAITING)
            self.wait = event.wait
        elif isinstance(event, StepReused):
            self._reuse(event)
        elif isinstance(event, StepFailed):
            self._attempted(event, to=StepStatus.FAILED)
            self.failure = event.failure
            self.handling = event.handling
            self.conditions = event.conditions
        else:
            self._moved(event)

    def _moved(self, event: StepSkipped | StepCanceled | StepCalled | StepCompensated) -> None:
        """No attempt of its own says where the step is now."""
        match event:
            case StepSkipped():
                self.status = moved_step(self.status, to=StepStatus.SKIPPED)
                self.skip_reason = event.reason
            case StepCanceled():
                self.status = moved_step(self.status, to=StepStatus.CANCELED)
                self.attempt = event.attempt
            case StepCompensated():
                self.status = moved_step(self.status, to=StepStatus.COMPENSATED)
            case StepCalled():
                self.attempt = 0
            case _:  # pragma: no cover - mypy proves that nothing is left
                assert_never(event)

    def _go_on(self, event: StepIterated | MapEvent) -> None:
        """A container's body has run once more, or a part of its items."""
        if isinstance(event, ChunkDispatched | ChunkCompleted):
            # Who reads step by step may not know the map that is taken over, and need not.
            if self.mapping is not None or not event.undoes:
                self.map_progress().apply(event)
            return
        if self.status is not StepStatus.RUNNING:
            self.status = moved_step(self.status, to=StepStatus.RUNNING)
        self.attempt = event.attempt
        self._begin(event.started_at)
        self.usage = event.usage
        if isinstance(event, StepOpened):
            self.mapping = MapProgress(event.opening, attempt=event.attempt, before=self.mapping)
        else:
            self.iterations = event.index + 1

    def map_progress(self) -> MapProgress:
        """Of a map that was opened. Raises IllegalTransition."""
        if self.mapping is None:
            raise IllegalTransition("a chunk of a map that was not opened")
        return self.mapping

    def _attempted(
        self, event: StepCompleted | AttemptFailed | StepFailed | StepWaiting, *, to: StepStatus
    ) -> None:
        self.status = moved_step(self.status, to=to)
        self.attempt = event.attempt
        self._begin(event.started_at)
        self.usage = event.usage

    def _begin(self, at: dt.datetime) -> None:
        """The latest attempt's begin; a container's is that of its first iteration."""
        if not self.iterations:
            self.started_at = at

    def ask_again(self) -> None:
        """A container's iteration has ended: what follows is the first attempt of a new turn."""
        self.status = moved_step(self.status, to=StepStatus.READY)
        self.attempt = 0

    def _reuse(self, event: StepReused) -> None:
        if event.error is None:
            self.status = moved_step(self.status, to=StepStatus.SUCCEEDED)
            self.outputs = event.outputs
        else:
            self.status = moved_step(self.status, to=StepStatus.FAILED)
            self.failure = Failure.from_json(event.error)
            self.handling = Handling.ROUTE
        self.attempt = event.attempt
        self.conditions = event.conditions

    @property
    def has_succeeded(self) -> bool:
        """Its outputs count, wherever they come from."""
        return self.status is StepStatus.SUCCEEDED or self.status is StepStatus.CACHED

    @property
    def is_readable(self) -> bool:
        """Its outputs are facts, even if what it did has been undone."""
        return self.has_succeeded or self.status is StepStatus.COMPENSATED

    @property
    def outcome(self) -> StepRecord:
        """The record that decides what leaves by the step's ports: the last that stood in."""
        record = self
        while record.stand_in is not None:
            record = record.stand_in
        return record

    def is_taken(self, link: Link) -> bool:
        """Whether a value leaves by this connection, now that the step has settled."""
        if self.stand_in is not None:
            return self.outcome.is_taken(link)
        if link.source_port == ERROR_PORT:
            routed = self.status is StepStatus.FAILED and self.handling in ROUTED
            # A condition nobody could evaluate does not swallow a failure.
            return routed and (not link.conditional or self.conditions.get(link.id, True))
        if link.source_port not in self.outputs:
            return False
        return not link.conditional or self.conditions.get(link.id, False)

    def value(self, port: str) -> Json:
        """What leaves by a port that was taken."""
        if self.stand_in is not None:
            return self.outcome.value(port)
        if port == ERROR_PORT and self.failure is not None:
            return self.failure.to_json()
        return self.outputs[port]


class Totals:
    """What all attempts of a run cost together."""

    __slots__ = (
        "attempts",
        "bytes_in",
        "bytes_out",
        "cost_minor",
        "cpu_seconds",
        "peak_memory_bytes",
    )

    def __init__(self) -> None:
        self.attempts = 0
        self.cpu_seconds = 0.0
        self.peak_memory_bytes = 0
        self.bytes_in = 0
        self.bytes_out = 0
        self.cost_minor = 0

    def add(self, usage: Usage, *, attempts: int = 1) -> None:
        """So many more attempts ran."""
        self.attempts += attempts
        self.cpu_seconds += usage.cpu_seconds
        self.peak_memory_bytes = max(self.peak_memory_bytes, usage.peak_memory_bytes)
        self.bytes_in += usage.bytes_in
        self.bytes_out += usage.bytes_out
        self.cost_minor += usage.cost_minor


def close_record(record: StepRecord) -> None:
    """The run has ended: what had not settled never will."""
    if not record.status.is_settled:
        record.status = StepStatus.CANCELED
