"""What a history amounts to: the state of a run as its events are applied one by one."""

from __future__ import annotations

import datetime as dt
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from apps.executions.engine.frames import RUN_FRAME, Frame, Upstream, collected, copied
from apps.executions.engine.history import (
    AttemptFailed,
    CancelReason,
    Event,
    Failure,
    Handling,
    RunCanceling,
    RunEnded,
    RunQueued,
    RunStarted,
    SkipReason,
    StepCompleted,
    StepDispatched,
    StepEvent,
    StepFailed,
    StepSkipped,
    StepStarted,
)
from apps.executions.engine.plan import CONTAINER, Link, Plan, Step
from apps.executions.engine.record import StepRecord, Totals, close_record
from apps.executions.engine.state import RunStatus, StepStatus, moved_run, moved_step
from apps.executions.engine.wait_events import SignalReceived, StepWaiting
from apps.workflows.graph.declaration import Json
from apps.workflows.graph.waits import Wait


class RunState:
    """A run in memory: its steps, which of them may run, and why it is ending if it is.

    `apply` is the only way it changes by history; `launch` notes what this process has in flight,
    and is forgotten with it. What is `dispatched` runs elsewhere, whoever owns the run. An event
    costs time in proportion to the connections it decides. `steps` and `links` are the plan's own,
    shared by all its runs, until a container opens and copies of its body join them. A `frame` is
    around a body that is run on its own; its prefix is not part of the paths in here.
    """

    def __init__(self, plan: Plan, frame: Frame = RUN_FRAME) -> None:
        self.plan = plan
        self.frame = frame
        self.steps: Sequence[Step] = plan.steps
        self.links: Sequence[Link] = plan.links
        self.positions: Mapping[str, int] = plan.positions
        self.status = RunStatus.QUEUED
        self.head = 0
        self.settled = 0
        self.records = [StepRecord(StepStatus.BLOCKED) for _ in plan.steps]
        self.ready: deque[int] = deque()
        self.unreached: deque[tuple[int, SkipReason]] = deque()
        self.retrying: dict[int, dt.datetime] = {}
        self.in_flight: dict[int, int] = {}
        self.cut: dict[int, None] = {}
        self.dispatched: dict[int, int] = {}
        self.waiting: dict[int, Wait] = {}
        self.signals: dict[str, SignalReceived] = {}
        self.heard: set[str] = set()
        self.failing: Failure | None = None
        self.canceling: CancelReason | None = None
        self.is_partial = False
        self.has_started = False
        self.error: Failure | None = None
        self.totals = Totals()
        self._undecided = [step.awaits for step in plan.steps]
        self._taken = bytearray(len(plan.links))
        for link in plan.entries:
            self._taken[link.index] = link.source_port in frame.values
        for step in plan.steps:
            if not step.awaits:
                self._classify(step)

    @property
    def is_stopping(self) -> bool:
        """No step starts any more."""
        return self.failing is not None or self.canceling is not None

    def step(self, path: str) -> Step:
        """The step at a path. Raises KeyError."""
        return self.steps[self.positions[path]]

    @property
    def is_waiting(self) -> bool:
        """Nothing is left to do but wait."""
        if not self.waiting or self.status is not RunStatus.RUNNING or self.is_stopping:
            return False
        busy = self.ready or self.cut or self.in_flight or self.dispatched or self.unreached
        return not (busy or self.retrying)

    def apply(self, event: Event) -> None:
        """One event further. Raises IllegalTransition for a history that cannot be."""
        self.head += 1
        if isinstance(event, RunQueued):
            return
        if isinstance(event, RunStarted):
            self.status = moved_run(self.status, to=RunStatus.RUNNING)
            self.has_started = True
        elif isinstance(event, RunCanceling):
            self.status = moved_run(self.status, to=RunStatus.CANCELING)
            self.canceling = event.reason
        elif isinstance(event, RunEnded):
            self._end(event)
        elif isinstance(event, SignalReceived):
            self.signals[event.id] = event
            self.heard.add(event.id)
        else:
            self._apply_step(event)

    def launch(self, index: int) -> int:
        """Take a step that may run into flight; returns its attempt number."""
        record = self.records[index]
        if index in self.retrying:
            self._retry(index)
        attempt = record.attempt if index in self.cut else record.attempt + 1
        self._release(index)
        self.in_flight[index] = attempt
        return attempt

    def next_attempt(self, index: int) -> int:
        """The number of the attempt that would start now."""
        return self.records[index].attempt + 1

    def due_at(self, *, after: dt.datetime | None) -> dt.datetime | None:
        """When the next retry or wait is due by itself; the past does not count."""
        instants = list(self.retrying.values())
        if self.waiting:
            instants += [wait.until for wait in self.waiting.values() if wait.until is not None]
        return min((at for at in instants if after is None or at > after), default=None)

    def land(self, index: int) -> None:
        """Forget a flight that left no event: the step may be launched again."""
        self._release(index)
        if self.records[index].status is StepStatus.RUNNING:
            self.cut[index] = None
        else:
            self.ready.append(index)

    def inputs_of(self, step: Step) -> dict[str, Json]:
        """Values by input port of a step that may run; `multiple` ports as lists.

        Copies: a node that changes its input in place changes nobody else's.
        """
        inputs: dict[str, Any] = {}
        for link in step.incoming:
            if not self._taken[link.index]:
                continue
            if link.source == CONTAINER:
                value = copied(self.frame.values[link.source_port])
            else:
                value = copied(self.records[link.source].value(link.source_port))
            if link.target_port in step.multiple:
                inputs.setdefault(link.target_port, []).append(value)
            else:
                inputs.setdefault(link.target_port, value)
        return inputs

    def upstream_of(self, step: Step) -> Upstream:
        """What `nodes.<id>.<port>` may read in a step: outputs of the steps it depends on."""
        return Upstream(self.plan, self.records, ancestors=step.ancestors, outer=self.frame.outer)

    def collected(self) -> dict[str, Json]:
        """Of a body run on its own that has ended: values by the container's inner input port."""
        return collected(self.plan, self.records)

    def result(self) -> dict[str, Mapping[str, Json]]:
        """Outputs of the succeeded steps that nothing follows, by node."""
        return {
            step.path: record.outputs
            for step, record in zip(self.steps, self.records, strict=True)
            if not step.outgoing and record.status is StepStatus.SUCCEEDED and record.outputs
        }

    def _apply_step(self, event: StepEvent) -> None:
        step = self.step(event.path)
        index = step.index
        record = self.records[index]
        if record.status is StepStatus.RETRY_WAIT:
            self._retry(index)
        record.apply(event)
        if isinstance(event, StepDispatched | StepStarted | StepWaiting):
            self._hold(index, event)
            return
        if isinstance(event, StepSkipped):
            self.unreached.remove((index, event.reason))
        else:
            self._release(index)
        if isinstance(event, StepCompleted | AttemptFailed | StepFailed):
            self.totals.add(event.usage)
            if isinstance(event, StepCompleted) and event.signal is not None:
                del self.signals[event.signal]
        if isinstance(event, AttemptFailed):
            self.retrying[index] = event.retry_at
            return
        if isinstance(event, StepFailed):
            self._failed(event)
        self._settle(step)

    def _hold(self, index: int, event: StepDispatched | StepStarted | StepWaiting) -> None:
        """The step has moved and has not settled."""
        if isinstance(event, StepStarted):
            if index not in self.in_flight and index not in self.dispatched:
                self._release(index)
                self.cut[index] = None
            return
        self._release(index)
        if isinstance(event, StepDispatched):
            self.dispatched[index] = event.attempt
        else:
            self.waiting[index] = event.wait

    def _release(self, index: int) -> None:
        """Take a step from wherever it waits or flies."""
        if index in self.in_flight:
            del self.in_flight[index]
        elif index in self.cut:
            del self.cut[index]
        elif index in self.dispatched:
            del self.dispatched[index]
        elif index in self.waiting:
            del self.waiting[index]
        else:
            self.ready.remove(index)

    def _retry(self, index: int) -> None:
        del self.retrying[index]
        record = self.records[index]
        record.status = moved_step(record.status, to=StepStatus.READY)
        self.ready.append(index)

    def _failed(self, event: StepFailed) -> None:
        if event.handling is Handling.CONTINUE:
            self.is_partial = True
        elif event.handling is Handling.FAIL:
            self.failing = self.failing or event.failure

    def _settle(self, step: Step) -> None:
        self.settled += 1
        record = self.records[step.index]
        for link in step.outgoing:
            self._taken[link.index] = record.is_taken(link)
            self._undecided[link.target] -= 1
            if not self._undecided[link.target]:
                self._classify(self.steps[link.target])

    def _classify(self, step: Step) -> None:
        """Decision 20, when every incoming connection is decided."""
        if step.disabled:
            self.unreached.append((step.index, SkipReason.DISABLED))
            return
        fed = {link.target_port for link in step.incoming if self._taken[link.index]}
        if (step.incoming and not fed) or not step.required <= fed:
            self.unreached.append((step.index, SkipReason.NOT_REACHED))
            return
        record = self.records[step.index]
        record.status = moved_step(record.status, to=StepStatus.READY)
        self.ready.append(step.index)

    def _end(self, event: RunEnded) -> None:
        self.status = moved_run(self.status, to=event.status)
        self.error = event.error
        self.ready.clear()
        self.retrying.clear()
        self.cut.clear()
        self.dispatched.clear()
        self.waiting.clear()
        self.signals.clear()
        self.unreached.clear()
        for record in self.records:
            close_record(record)


def fold(plan: Plan, events: Iterable[Event]) -> RunState:
    """The state after these events, from the first."""
    state = RunState(plan)
    for event in events:
        state.apply(event)
    return state
