"""Which waits end, and with what: by a signal that came, or because their time has come."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

from apps.executions.engine.asking import HUMAN_KINDS, unanswered
from apps.executions.engine.fold import RunState
from apps.executions.engine.plan import Step
from apps.executions.engine.ports import StepDone, StepFailed, StepWaits
from apps.executions.engine.wait_events import SignalReceived, StepWaiting
from apps.workflows.graph.declaration import ERROR_PORT
from apps.workflows.graph.waits import SIGNAL_PORT, TIMEOUT_PORT, Wait, WaitKind

WAIT_TIMEOUT: Final = "WAIT_TIMEOUT"


@dataclass(frozen=True, kw_only=True, slots=True)
class Settled:
    """A wait's end: the step's position and what it comes to."""

    index: int
    outcome: StepDone | StepFailed
    is_overdue: bool = False
    """Its time was over: whoever was asked need not answer any more."""


def settled(state: RunState, now: dt.datetime) -> Iterator[Settled]:
    """Waits that end now; a signal that is here wins over the time."""
    taken: set[str] = set()
    for index, wait in state.waiting.items():
        signal = _signal(state, wait, taken) if wait.kind is WaitKind.SIGNAL else None
        if signal is not None:
            taken.add(signal.id)
            outputs = {SIGNAL_PORT: signal.payload}
            yield Settled(index=index, outcome=StepDone(outputs=outputs, signal=signal.id))
        elif wait.until is not None and wait.until <= now:
            outcome = _overdue(state.steps[index], wait)
            yield Settled(index=index, outcome=outcome, is_overdue=True)


def begun(step: Step, outcome: StepWaits, *, attempt: int, started_at: dt.datetime) -> StepWaiting:
    """The event of a wait that begins: what was relative becomes an instant."""
    wait = outcome.wait
    if wait.seconds is not None:
        until = started_at + dt.timedelta(seconds=wait.seconds)
        wait = replace(wait, seconds=None, until=until)
    return StepWaiting(
        path=step.path, attempt=attempt, started_at=started_at, wait=wait, usage=outcome.usage
    )


def has_conditions(step: Step, outcome: StepDone | StepFailed) -> bool:
    """Whether somebody must evaluate what leaves by which connection."""
    ports = (ERROR_PORT,) if isinstance(outcome, StepFailed) else outcome.outputs
    return any(link.conditional and link.source_port in ports for link in step.outgoing)


def _signal(state: RunState, wait: Wait, taken: set[str]) -> SignalReceived | None:
    return next(
        (
            signal
            for signal in state.signals.values()
            if signal.name == wait.name
            and signal.id not in taken
            and wait.key in (None, signal.key)
        ),
        None,
    )


def _overdue(step: Step, wait: Wait) -> StepDone | StepFailed:
    if wait.kind in HUMAN_KINDS:
        return unanswered(wait)
    due = wait.due
    is_connected = any(link.source_port == TIMEOUT_PORT for link in step.outgoing)
    if due is not None and (TIMEOUT_PORT not in due or is_connected):
        return StepDone(outputs=due)
    awaited = f"the signal {wait.name}" if wait.kind is WaitKind.SIGNAL else "an answer"
    message = f"The time was over before {awaited} came. Give it longer, or connect its timeout."
    return StepFailed(code=WAIT_TIMEOUT, message=message)
