"""What happens next in a run: facts in, commands out; no clock, no I/O, no randomness."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain

from apps.executions.engine import ports
from apps.executions.engine.asking import EFFECT_IN_DOUBT, calling, question
from apps.executions.engine.concluding import WORKER_LOST, failed
from apps.executions.engine.facts import fact
from apps.executions.engine.failure import Failure
from apps.executions.engine.fold import RunState
from apps.executions.engine.history import (
    CancelReason,
    Event,
    RunCanceling,
    RunEnded,
    RunStarted,
    SkipReason,
    StepEvent,
    StepFailed,
    StepSkipped,
)
from apps.executions.engine.joins import needless, runs_within, spared
from apps.executions.engine.mapping import MapWork, are_open, map_work
from apps.executions.engine.pausing import PauseRequest, pausing
from apps.executions.engine.plan import RUN_POOL
from apps.executions.engine.rescue import Undoing
from apps.executions.engine.rescue_events import RunCompensating
from apps.executions.engine.state import RunStatus
from apps.executions.engine.undoing import (
    RUN_TIMEOUT,
    TIMEOUT_MESSAGE,
    failure_of,
    items_to_undo,
    next_event,
    undo_work,
)
from apps.executions.engine.wait_events import StepWaiting
from apps.executions.engine.waits import Settled, settled
from apps.workflows.graph.declaration import Effect

LOST_MESSAGE = "Workers died with this step three times. Give it less data or more memory."
DOUBT_MESSAGE = (
    "A worker died after this step had started and before it ended; whether its effect "
    "happened is unknown. Check the other system, then say what became of it."
)


@dataclass(frozen=True, kw_only=True, slots=True)
class CancelRequest:
    """Somebody asked for the end of the run."""

    by: str | None = None


@fact
class Facts:
    """What the slice knows besides history."""

    now: dt.datetime
    deadline_at: dt.datetime | None
    slots: int
    pool: str = RUN_POOL
    """Where the run is owned; steps of other pools are dispatched."""
    cancel: CancelRequest | None = None
    insists: bool = False
    """Somebody cancels a run once more, which is being undone because it was canceled."""
    pause: PauseRequest | None = None
    worker_lost: bool = False
    """Workers died with this run too often without any step settling in between."""
    is_held: bool = False
    """The run may end, but not begin: its workflow's bounds hold it back."""
    may_start: bool = True
    """False while the slice is winding up: its budget is spent or its process drains."""


@fact
class Commands:
    """Events to record (in order), steps to start (by position), and when to look again.

    `starts` run in this process; `dispatches` are handed to a worker of their pool; `settled`
    are waits that end now.
    """

    events: tuple[Event, ...] = ()
    starts: tuple[int, ...] = ()
    dispatches: tuple[int, ...] = ()
    settled: tuple[Settled, ...] = ()
    stop_running: bool = False
    wake_at: dt.datetime | None = None
    maps: MapWork | None = None
    """What open maps need."""
    halts: frozenset[int] = frozenset()
    """Steps that run and shall stop: nobody needs them any more."""


def decide(state: RunState, facts: Facts) -> Commands:
    """The next commands. With events among them, apply those and ask again."""
    if state.status.is_terminal:
        return Commands()
    reason = _stop_reason(state, facts)
    is_stopping = state.is_stopping
    is_held = facts.is_held and reason is None and not is_stopping
    if reason:
        by = facts.cancel.by if facts.cancel else None
        return Commands(
            events=(RunCanceling(reason=reason, by=by),),
            stop_running=not state.plan.undoes_on_cancel,
        )
    opening: tuple[Event, ...] = ()
    if state.status is RunStatus.QUEUED:
        opening = (RunStarted(),)
    forced = _paused(state, facts) or (() if is_held else _lost(state, facts))
    if forced or is_held:
        wake_at = _wake_at(state, facts) if is_held else None
        return Commands(events=opening + forced if forced else (), wake_at=wake_at)
    if is_stopping or state.rescue.undoing:
        return _ending(state, facts, opening)
    if (state.broken or state.spare or state.unreached) and (ends := _ends(state, facts)):
        return Commands(events=(*opening, *ends))
    if state.waiting and (ended := tuple(settled(state, facts.now))):
        return Commands(events=opening, settled=ended)
    halts = frozenset(needless(state) if state.spare or state.broken else ())
    starts, dispatches = _starts(state, facts)
    maps = None
    if state.mapping:
        maps = map_work(state.mapping, is_paused=state.is_paused, halted=halts)
    if not (starts or _is_busy(state) or state.waiting or state.mapping):
        return Commands(events=(*opening, *_nothing_left(state)))
    wake_at = _wake_at(state, facts)
    return Commands(
        events=opening,
        starts=starts,
        dispatches=dispatches,
        wake_at=wake_at,
        maps=maps,
        halts=halts,
    )


def _stop_reason(state: RunState, facts: Facts) -> CancelReason | None:
    if state.canceling is not None or state.failing is not None:
        return None
    if facts.cancel is not None:
        return CancelReason.REQUESTED
    if _has_no_deadline(state):
        return None
    if facts.deadline_at is not None and facts.now >= facts.deadline_at:
        return CancelReason.DEADLINE
    return None


def _has_no_deadline(state: RunState) -> bool:
    """A run that is being undone has as long as that takes."""
    undoing = state.rescue.undoing
    return undoing is not None and (undoing.has_begun or not state.is_paused)


def _paused(state: RunState, facts: Facts) -> tuple[Event, ...]:
    if facts.pause is None or state.is_stopping:
        return ()
    moved = pausing(state.status, facts.pause)
    return (moved,) if moved else ()


def _lost(state: RunState, facts: Facts) -> tuple[Event, ...]:
    """Steps that end here because a worker died with them."""
    if not (facts.worker_lost or state.cut):
        return ()
    if facts.worker_lost and not state.is_stopping:
        suspects = tuple(state.cut) or tuple(state.ready)
        return tuple(_died(state, index, facts, WORKER_LOST, LOST_MESSAGE) for index in suspects)
    unsafe = (i for i in state.cut if state.steps[i].effect is Effect.UNSAFE)
    return tuple(_died(state, index, facts, EFFECT_IN_DOUBT, DOUBT_MESSAGE) for index in unsafe)


def _died(
    state: RunState, index: int, facts: Facts, code: str, message: str
) -> StepFailed | StepWaiting:
    step, record = state.steps[index], state.records[index]
    attempt = record.attempt if index in state.cut else record.attempt + 1
    failure = Failure(code=code, message=message, path=step.path, attempt=attempt)
    outcome = ports.StepFailed(code=code, message=message)
    started_at = record.started_at or facts.now
    asked = question(step, failure, outcome, attempt=attempt, started_at=started_at, now=facts.now)
    if asked is not None and index in state.cut and not state.is_stopping:
        return asked
    return failed(step, failure, outcome, attempt=attempt, started_at=started_at)


def _ends(state: RunState, facts: Facts) -> tuple[StepEvent, ...]:
    """Steps that end without running: a broken container, or whom nobody needs or reaches."""
    if broken := _broken(state, facts):
        return (broken,)
    if state.spare and (ended := tuple(spared(state))):
        return ended
    return tuple(
        StepSkipped(path=state.steps[index].path, reason=reason)
        for index, reason in state.unreached
    )


def _broken(state: RunState, facts: Facts) -> StepFailed | StepWaiting | None:
    """A container ends with the failure of a step in it, once nothing in it runs any more.

    Where a workflow shall stand in for it, it waits for that.
    """
    for iteration, failure in state.broken:
        if runs_within(state, iteration):
            continue
        step, record = state.steps[iteration.container], state.records[iteration.container]
        outcome = ports.StepFailed(code=failure.code, message=failure.message)
        started_at = record.started_at or facts.now
        is_needless = step.index in state.spare or state.is_dead(step.index)
        if not is_needless and (call := calling(step, failure, outcome)) is not None:
            return StepWaiting(
                path=step.path, attempt=record.attempt, started_at=started_at, wait=call
            )
        return failed(step, failure, outcome, attempt=record.attempt, started_at=started_at)
    return None


def _ending(state: RunState, facts: Facts, opening: tuple[Event, ...]) -> Commands:
    undoing = state.rescue.undoing
    if undoing is None or state.is_stopping:
        return _stopping(state, facts, opening)
    if state.is_paused:
        found = items_to_undo(state, undoing)
        maps = undo_work(*found, is_over=True) if found else None
        return Commands(maps=maps, wake_at=_wake_at(state, facts))
    return _undoing(state, undoing, facts)


def _stopping(state: RunState, facts: Facts, opening: tuple[Event, ...]) -> Commands:
    if state.in_flight or state.dispatched or are_open(state.mapping):
        # What will be undone must be known: effects on their way come to their end.
        is_final = state.canceling is None or not state.plan.undoes_on_cancel
        wake_at = _wake_at(state, facts)
        return Commands(events=opening, stop_running=is_final, wake_at=wake_at)
    return Commands(events=(*opening, _end(state)))


def _end(state: RunState) -> Event:
    if state.canceling is None:
        return RunEnded(status=RunStatus.FAILED, error=state.failing)
    if state.rescue.undoing is None and state.rescue.log and state.plan.undoes_on_cancel:
        return RunCompensating()
    missed = failure_of(state)
    if state.canceling is CancelReason.DEADLINE:
        late = Failure(code=RUN_TIMEOUT, message=TIMEOUT_MESSAGE)
        return RunEnded(status=RunStatus.TIMED_OUT, error=missed or late)
    return RunEnded(status=RunStatus.CANCELED, error=missed)


def _undoing(state: RunState, undoing: Undoing, facts: Facts) -> Commands:
    """What runs comes to its end, begun effects included; then one step after the other is undone.

    The run's deadline does not count meanwhile: every compensation has its own time and attempts.
    """
    is_gathering = state.status is not RunStatus.COMPENSATING
    if not is_gathering and state.waiting and (ended := tuple(settled(state, facts.now))):
        return Commands(settled=ended)
    starts, dispatches = _starts(state, facts)
    is_busy = bool(state.cut or state.in_flight or state.dispatched or are_open(state.mapping))
    if is_gathering:
        starts, dispatches = (
            tuple(index for index in found if index in state.cut) for found in (starts, dispatches)
        )
    else:
        is_busy = bool(is_busy or state.ready or state.retrying)
        if state.waiting and facts.insists and not is_busy:
            # Whoever it waits for may never come: a run that is to end does end.
            return Commands(events=(_end(state),))
        is_busy = bool(is_busy or state.waiting)
    if is_busy:
        # Chunks that are out come back after their current items: what they did is known then.
        out = tuple(index for index, progress in state.mapping.items() if progress.is_out)
        return Commands(
            starts=starts,
            dispatches=dispatches,
            wake_at=_wake_at(state, facts),
            maps=MapWork(recalls=out) if out else None,
        )
    if (found := items_to_undo(state, undoing)) is not None:
        undo = found[1].undo
        if not undoing.is_cut or (undo is not None and undo.open):
            maps = undo_work(*found, is_over=undoing.is_cut)
            return Commands(maps=maps, wake_at=_wake_at(state, facts))
    return Commands(events=(next_event(state, undoing),))


def _is_busy(state: RunState) -> bool:
    return bool(state.ready or state.cut or state.in_flight or state.dispatched or state.retrying)


def _nothing_left(state: RunState) -> Iterator[Event]:
    """Nobody will call what is still on call, and what waits for that may go on; or the end."""
    for index in state.rescue.standby:
        yield StepSkipped(path=state.steps[index].path, reason=SkipReason.NOT_CALLED)
    if not state.rescue.standby:
        yield RunEnded(status=RunStatus.PARTIAL if state.is_partial else RunStatus.SUCCEEDED)


def _starts(state: RunState, facts: Facts) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Steps to run here, as many as slots are free, and steps to hand to other pools."""
    if not facts.may_start or state.is_paused:
        return (), ()
    due = (index for index, at in state.retrying.items() if at <= facts.now)
    room = facts.slots - len(state.in_flight)
    beyond = state.plan.max_concurrency - len(state.in_flight) - len(state.dispatched)
    starts: list[int] = []
    dispatches: list[int] = []
    for index in chain(state.cut, state.ready, due):
        if state.broken and state.is_dead(index):
            continue
        if state.steps[index].is_dispatched_from(facts.pool):
            if len(dispatches) < beyond:
                dispatches.append(index)
        elif len(starts) < room:
            starts.append(index)
        if len(starts) >= room and len(dispatches) >= beyond:
            break
    return tuple(starts), tuple(dispatches)


def _wake_at(state: RunState, facts: Facts) -> dt.datetime | None:
    if facts.deadline_at is None and not (state.retrying or state.waiting):
        return None
    due_at = state.due_at(after=facts.now) if state.retrying or state.waiting else None
    is_over = state.is_stopping or _has_no_deadline(state)
    deadline_at = None if is_over else facts.deadline_at
    return min((at for at in (due_at, deadline_at) if at is not None), default=None)
