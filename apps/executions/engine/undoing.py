"""How a run undoes what it did: which event is next, and what its error says in the end."""

from __future__ import annotations

from typing import Final

from apps.executions.engine.failure import Failure
from apps.executions.engine.fold import RunState
from apps.executions.engine.history import CancelReason, Event, RunEnded
from apps.executions.engine.rescue import Undoing
from apps.executions.engine.rescue_events import (
    RunCompensated,
    RunCompensating,
    StepCalled,
    StepCompensated,
)
from apps.executions.engine.state import RunStatus
from apps.workflows.graph.declaration import Json

COMPENSATION_FAILED: Final = "COMPENSATION_FAILED"
RUN_TIMEOUT: Final = "RUN_TIMEOUT"
TIMEOUT_MESSAGE: Final = "The run's time was over before it ended. Raise resources.timeoutSeconds."
NAMED: Final = 20
"""Most steps that an error lists by name."""


def next_event(state: RunState, undoing: Undoing) -> Event:
    """What follows in a run that undoes, now that nothing runs in it."""
    if state.status is not RunStatus.COMPENSATING:
        path = undoing.cause.path if undoing.cause else None
        return RunCompensating(path=path, then=undoing.then)
    if undoing.active is not None:
        by = state.steps[undoing.running].path
        return StepCompensated(path=state.steps[undoing.active].path, by=by)
    if state.rescue.log and not undoing.is_cut:
        step = state.steps[state.rescue.log[-1]]
        return StepCalled(path=state.path_of_copy(step, str(step.compensation)), by=step.path)
    return _end(state, undoing)


def _end(state: RunState, undoing: Undoing) -> Event:
    missed = failure_of(state)
    if state.canceling is CancelReason.REQUESTED:
        return RunEnded(status=RunStatus.CANCELED, error=missed)
    if state.canceling is CancelReason.DEADLINE:
        late = Failure(code=RUN_TIMEOUT, message=TIMEOUT_MESSAGE)
        return RunEnded(status=RunStatus.TIMED_OUT, error=missed or late)
    then = undoing.then
    if then is not None and missed is None and state.step(then).index in state.rescue.standby:
        return RunCompensated(then=then)
    return RunEnded(status=RunStatus.FAILED, error=missed or undoing.cause)


def failure_of(state: RunState) -> Failure | None:
    """What a run could not undo, as its error; None when all is undone."""
    undoing, remaining = state.rescue.undoing, state.rescue.remaining()
    if undoing is None or not remaining:
        return None
    paths: list[Json] = [state.steps[index].path for index in remaining[:NAMED]]
    more = f" and {len(remaining) - NAMED} more" if len(remaining) > NAMED else ""
    cause = undoing.cause
    because = f" The run was undone because of {cause.code}: {cause.message}" if cause else ""
    return Failure(
        code=COMPENSATION_FAILED,
        message=f"Not undone: {', '.join(map(str, paths))}{more}. Undo by hand.{because}",
        path=cause.path if cause else None,
        attempt=cause.attempt if cause else None,
        details={"notUndone": paths, "count": len(remaining)},
    )
