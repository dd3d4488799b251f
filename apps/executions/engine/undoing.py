"""How a run undoes what it did: which event is next, and what its error says in the end."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from typing import Final

from apps.executions.engine.failure import Failure
from apps.executions.engine.fold import RunState
from apps.executions.engine.history import CancelReason, Event, RunEnded
from apps.executions.engine.items_undo import ItemsUndo
from apps.executions.engine.mapping import MapProgress, MapWork
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


def unfinished(state: RunState) -> Iterator[str]:
    """The steps that are not undone; of a map whose items nobody came to, its own path."""
    for index in state.rescue.remaining():
        yield state.steps[index if index >= 0 else ~index].path


def items_to_undo(state: RunState, undoing: Undoing) -> tuple[int, MapProgress] | None:
    """The map whose items are undone now, or next: its position, and how far it is."""
    log = state.rescue.log
    is_due = undoing.has_begun and undoing.active is None
    if not is_due or not log or log[-1] >= 0:
        return None
    index = ~log[-1]
    return index, state.records[index].map_progress()


def undo_work(index: int, progress: MapProgress, *, is_over: bool) -> MapWork | None:
    """What to hand out; `is_over`: nothing now, and what is out shall come back."""
    undo = progress.undo or ItemsUndo(progress.next)
    if progress.is_rested:
        return MapWork(recalls=(index,))
    if is_over:
        if undo.open and not undo.is_recalled:
            return MapWork(recalls=(index,))
        return None
    due = undo.due(progress.opening.most_open)
    return MapWork(undos=tuple((index, chunk) for chunk in due)) if due else None


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
    if missed is None and undoing.cause is None:
        # Nothing failed in it, nobody canceled it: it was there to undo what an item did.
        return RunEnded(status=RunStatus.SUCCEEDED)
    return RunEnded(status=RunStatus.FAILED, error=missed or undoing.cause)


def failure_of(state: RunState) -> Failure | None:
    """What a run could not undo, as its error; None when all is undone."""
    undoing, remaining = state.rescue.undoing, state.rescue.remaining()
    if undoing is None or not (remaining or undoing.misses):
        return None
    paths = list(chain(undoing.lost, unfinished(state)))[:NAMED]
    count = undoing.misses + len(remaining)
    more = f" and {count - len(paths)} more" if count > len(paths) else ""
    cause = undoing.cause
    because = f" The run was undone because of {cause.code}: {cause.message}" if cause else ""
    return Failure(
        code=COMPENSATION_FAILED,
        message=f"Not undone: {', '.join(paths)}{more}. Undo by hand.{because}",
        path=cause.path if cause else None,
        attempt=cause.attempt if cause else None,
        details={
            "notUndone": list[Json](paths),
            "count": count,
            **({"cut": True} if undoing.is_cut else {}),
        },
    )
