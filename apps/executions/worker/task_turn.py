"""One leased task from claim to result: a dispatched step runs here, its run is owned elsewhere."""

from __future__ import annotations

import datetime as dt
import logging
import random
import threading
from collections.abc import Callable

from apps.executions.crashpoints import crashpoint
from apps.executions.engine.asking import EFFECT_IN_DOUBT
from apps.executions.engine.calls import call_of
from apps.executions.engine.concluding import STEP_TIMEOUT, WORKER_LOST
from apps.executions.engine.decide import (
    DOUBT_MESSAGE,
    LOST_MESSAGE,
)
from apps.executions.engine.flight import GRACE
from apps.executions.engine.fold import RunState
from apps.executions.engine.mapping import MapProgress
from apps.executions.engine.plan import RUN_POOL, PlanRefused
from apps.executions.engine.ports import (
    StepCall,
    StepFailed,
    StepOutcome,
    StepStopped,
    StopReason,
)
from apps.executions.engine.slice import ANNOUNCE_AFTER, CRASH_LIMIT
from apps.executions.engine.slice_ports import LeaseLost, TaskClaim
from apps.executions.engine.task import TaskResult, TaskStarted
from apps.executions.store import maps, tasks
from apps.executions.store.connections import Connection
from apps.executions.store.resilient import read_surely
from apps.executions.worker.leased import LeasedTurn
from apps.executions.worker.maps.gather import gather
from apps.executions.worker.pool import SlicePool
from apps.executions.worker.shop import Shop
from apps.workflows.graph.declaration import Effect

logger = logging.getLogger(__name__)


class TaskTurn(LeasedTurn[TaskClaim, SlicePool]):
    """The turn of a task: one attempt, to its durable result."""

    WHAT = "task"

    def __init__(self, claim: TaskClaim, shop: Shop) -> None:
        super().__init__(claim, shop, shop.step_pool())
        self._recalled = threading.Event()
        if claim.has_inbox:
            self._recalled.set()

    def notify(self) -> None:
        """The run is stopping."""
        self._recalled.set()
        self.pool.nudge()

    def _work(self) -> None:
        started_at = self.shop.lease.now()
        outcome = self._before() or self._attempt(started_at)
        if isinstance(outcome, StepStopped) and outcome.reason is not StopReason.CANCELED:
            # The process stops, not the step: another worker takes the task.
            self._drop(broken=False)
            return
        result = TaskResult(
            path=self.claim.path,
            attempt=self.claim.attempt,
            started_at=started_at,
            outcome=outcome,
            fraction=random.random(),  # noqa: S311 - jitter
        )
        self._surely(lambda connection: tasks.done(connection, self.claim, result))
        self.shop.ring((RUN_POOL,))

    def _before(self) -> StepOutcome | None:
        """What the task ends with before it runs, if it does."""
        claim = self.claim
        if self._recalled.is_set() and not claim.has_begun:
            return StepStopped(reason=StopReason.CANCELED)
        if claim.crashes >= CRASH_LIMIT:
            return StepFailed(code=WORKER_LOST, message=LOST_MESSAGE)
        try:
            step = self._state().step(claim.path)
        except PlanRefused as error:
            return StepFailed(code=error.code, message=str(error))
        if claim.has_begun and step.effect is Effect.UNSAFE:
            return StepFailed(code=EFFECT_IN_DOUBT, message=DOUBT_MESSAGE)
        return None

    def _state(self) -> RunState:
        """The run as the task may read it; a step of a container stands nowhere else."""
        return self.shop.readings.of(self.claim, self.shop.plans.of(self.claim))

    def _attempt(self, started_at: dt.datetime) -> StepOutcome:
        claim, state = self.claim, self._state()
        step = state.step(claim.path)
        progress = state.records[step.index].mapping
        if progress is not None and progress.attempt == claim.attempt:
            return self._gather(progress)
        call = call_of(
            claim,
            state,
            step,
            attempt=claim.attempt,
            started_at=started_at,
            interrupted=claim.has_begun,
        )
        if step.needs_intent and not self.claim.has_begun:
            held = self._surely(lambda connection: tasks.begun(connection, self.claim))
            if not held:
                raise LeaseLost
        self.pool.submit(step.index, call, light=False)
        return self._landed(step.index, call)

    def _gather(self, progress: MapProgress) -> StepOutcome:
        """The map's items are all recorded: their results become its outputs."""
        claim, shop = self.claim, self.shop
        crashpoint("reduce.begun")
        outcome = gather(
            progress,
            lambda low, high: read_surely(
                shop.connections,
                shop.lease,
                lambda c: maps.items(c, claim, claim.path, low=low, high=high),
            ),
            objects=shop.open_objects(claim.tenant_id, claim.run_id),
            is_stopping=self._recalled.is_set,
        )
        crashpoint("reduce.ended")
        return outcome

    def _landed(self, index: int, call: StepCall) -> StepOutcome:
        """Wait for the attempt; stop it when the run stops, give it up when it does not end."""
        control = self.shop.lease
        announce_at: dt.datetime | None = call.started_at + ANNOUNCE_AFTER
        abandon_at = call.deadline_at + GRACE
        is_stopping = False
        while True:
            if control.is_lost():
                self.pool.stop(StopReason.LEASE_LOST)
                raise LeaseLost
            now = control.now()
            if self._recalled.is_set() and not is_stopping:
                is_stopping = True
                abandon_at = min(abandon_at, now + GRACE)
                self.pool.stop(StopReason.CANCELED)
            if now >= abandon_at:
                self.pool.abandon(index)
                return _abandoned(call, is_stopping=is_stopping)
            if announce_at is not None and now >= announce_at:
                announce_at = None
                self._announce(call)
            until = min(abandon_at, announce_at or abandon_at)
            for arrival in self.pool.arrivals(seconds=max((until - now).total_seconds(), 0.0)):
                return arrival.outcome

    def _announce(self, call: StepCall) -> None:
        notice = TaskStarted(path=call.path, attempt=call.attempt, started_at=call.started_at)
        try:
            tasks.started(self.shop.connections.get(), self.claim, notice)
        except Exception as error:
            # Only those who watch miss it.
            logger.warning("a task's start was not announced: %s", error)
            self.shop.connections.drop()
        else:
            self.shop.ring((RUN_POOL,))

    def _surely(self, statement: Callable[[Connection], bool]) -> bool:
        """Both statements may be repeated: a lost reply does no harm."""
        return read_surely(self.shop.connections, self.shop.lease, statement)


def _abandoned(call: StepCall, *, is_stopping: bool) -> StepOutcome:
    if is_stopping:
        return StepStopped(reason=StopReason.CANCELED)
    seconds = (call.deadline_at - call.started_at).total_seconds()
    return StepFailed(
        code=STEP_TIMEOUT,
        message=f"The step did not end within {seconds:g} s and could not be stopped.",
        retryable=True,
    )
