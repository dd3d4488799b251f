"""Where every step is that has not settled: ready, in flight, elsewhere, waiting or cut off."""

from __future__ import annotations

import datetime as dt
from collections import deque

from apps.executions.engine.failure import Failure
from apps.executions.engine.frames import Frame
from apps.executions.engine.graph import StepGraph
from apps.executions.engine.history import SkipReason
from apps.executions.engine.iterations import Iteration
from apps.executions.engine.mapping import MapProgress
from apps.executions.engine.plan import Plan
from apps.executions.engine.record import close_record
from apps.executions.engine.state import RunStatus, StepStatus, moved_step
from apps.workflows.graph.waits import Wait


class Whereabouts(StepGraph):
    """The queues of a run. A step that may go on is in exactly one of them."""

    def __init__(self, plan: Plan, frame: Frame) -> None:
        super().__init__(plan, frame)
        self.status = RunStatus.QUEUED
        self.ready: deque[int] = deque()
        self.unreached: deque[tuple[int, SkipReason]] = deque()
        self.retrying: dict[int, dt.datetime] = {}
        self.in_flight: dict[int, int] = {}
        self.cut: dict[int, None] = {}
        self.dispatched: dict[int, int] = {}
        self.waiting: dict[int, Wait] = {}
        self.spare: dict[int, None] = {}
        self.broken: list[tuple[Iteration, Failure]] = []
        self.mapping: dict[int, MapProgress] = {}
        """Maps whose items are being worked on."""

    @property
    def is_asking(self) -> bool:
        """Somebody has been asked for what a step waits for."""
        return any(wait.kind.is_asked for wait in self.waiting.values())

    @property
    def is_paused(self) -> bool:
        """Nothing starts until somebody lets it."""
        return self.status is RunStatus.PAUSED

    def launch(self, index: int) -> int:
        """Take a step that may run into flight; returns its attempt number."""
        record = self.records[index]
        if index in self.retrying:
            self.end_retry(index)
        attempt = record.attempt if index in self.cut else record.attempt + 1
        self.release(index)
        self.in_flight[index] = attempt
        return attempt

    def next_attempt(self, index: int) -> int:
        """The number of the attempt that would start now."""
        return self.records[index].attempt + 1

    def land(self, index: int) -> None:
        """Forget a flight that left no event: the step may be launched again."""
        self.release(index)
        if self.records[index].status is StepStatus.RUNNING:
            self.cut[index] = None
        else:
            self.ready.append(index)

    def due_at(self, *, after: dt.datetime | None) -> dt.datetime | None:
        """When the next retry or wait is due by itself; the past does not count."""
        instants = [] if self.is_paused else list(self.retrying.values())
        if self.waiting:
            instants += [wait.until for wait in self.waiting.values() if wait.until is not None]
        return min((at for at in instants if after is None or at > after), default=None)

    def release(self, index: int) -> None:
        """Take a step from wherever it waits or flies."""
        if index in self.in_flight:
            del self.in_flight[index]
        elif index in self.cut:
            del self.cut[index]
        elif index in self.dispatched:
            del self.dispatched[index]
        elif index in self.waiting:
            del self.waiting[index]
        elif index in self.iterating:
            self._close(self.iterating.pop(index))
        elif index in self.mapping:
            del self.mapping[index]
        elif index in self.retrying:
            del self.retrying[index]  # It waited for its key.
        else:
            self.ready.remove(index)

    def defer(self, index: int, *, until: dt.datetime) -> None:
        """A step that may run waits for its key. No event: it is forgotten with this process."""
        if index in self.retrying:
            self.end_retry(index)
        self.release(index)
        self.retrying[index] = until

    def look_again(self, *, at: dt.datetime) -> None:
        """Steps that wait for their key may look before their time."""
        for index in self.retrying:
            if self.records[index].status is not StepStatus.RETRY_WAIT:
                self.retrying[index] = at

    def end_retry(self, index: int) -> None:
        """The step need not wait any longer before its next attempt."""
        del self.retrying[index]
        record = self.records[index]
        if record.status is StepStatus.RETRY_WAIT:
            record.status = moved_step(record.status, to=StepStatus.READY)
        self.ready.append(index)

    def ask_again(self, iteration: Iteration) -> None:
        """An iteration has ended: what follows is up to its container."""
        index = iteration.container
        self.iterated[index] = self.iterating.pop(index)
        self.records[index].ask_again()
        self.ready.append(index)

    def _close(self, iteration: Iteration) -> None:
        """Its container has failed: what has not settled in it never will."""
        self.broken = [one for one in self.broken if not one[0].is_within(iteration)]
        ended = {
            index
            for index in range(iteration.base, len(self.steps))
            if (own := self.iteration_of(index)) is not None and own.is_within(iteration)
        }
        self.ready = deque(index for index in self.ready if index not in ended)
        self.unreached = deque(one for one in self.unreached if one[0] not in ended)
        for index in ended:
            close_record(self.records[index])
            self.retrying.pop(index, None)
            self.cut.pop(index, None)
            self.waiting.pop(index, None)
            self.mapping.pop(index, None)
            self.iterating.pop(index, None)
            self.iterated.pop(index, None)
            self.spare.pop(index, None)
