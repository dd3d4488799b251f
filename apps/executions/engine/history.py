"""The events of a run's history: what each says."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TypeAlias

from apps.executions.engine.facts import fact
from apps.executions.engine.failure import Failure
from apps.executions.engine.iteration_events import StepIterated
from apps.executions.engine.mapping import MapEvent
from apps.executions.engine.pausing import RunPaused, RunResumed
from apps.executions.engine.ports import Usage
from apps.executions.engine.rescue_events import (
    RunCompensated,
    RunCompensating,
    StepCalled,
    StepCompensated,
)
from apps.executions.engine.seeds import (
    ItemGiven,
    Origin,
    StepGiven,
    StepReused,
)
from apps.executions.engine.state import RunStatus
from apps.executions.engine.wait_events import (
    SignalReceived,
    StepWaiting,
)
from apps.workflows.graph.declaration import Json


class CancelReason(StrEnum):
    """Why a run is being stopped before its end."""

    REQUESTED = "REQUESTED"
    DEADLINE = "DEADLINE"


class SkipReason(StrEnum):
    """Why a step never ran."""

    NOT_REACHED = "NOT_REACHED"
    DISABLED = "DISABLED"
    NOT_CALLED = "NOT_CALLED"


class Handling(StrEnum):
    """What a step's final failure does to its run."""

    FAIL = "fail"
    CONTINUE = "continue"
    ROUTE = "route"
    FALLBACK = "fallback"
    COMPENSATE = "compensate"
    ESCALATE = "escalate"


@dataclass(frozen=True, kw_only=True, slots=True)
class RunQueued:
    """Event 1: the run exists."""

    trigger: str
    by: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class RunStarted:
    """The run was claimed for the first time."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RunCanceling:
    """No step starts any more; running ones are asked to stop."""

    reason: CancelReason
    by: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class RunEnded:
    """The last event. What had not settled by now never will."""

    status: RunStatus
    error: Failure | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class StepDispatched:
    """An attempt waits for a worker of `pool`; its outcome comes back by the inbox."""

    path: str
    attempt: int
    pool: str


@fact
class StepStarted:
    """An attempt is about to touch the world (an effect's intent), or has been running for long."""

    path: str
    attempt: int
    started_at: dt.datetime


@fact
class StepCompleted:
    """An attempt succeeded: outputs by port, and the outcome of each condition on the way out."""

    path: str
    attempt: int
    outputs: Mapping[str, Json]
    conditions: Mapping[str, bool]
    usage: Usage
    started_at: dt.datetime
    signal: str | None = None
    """The signal that ended its wait."""
    origin: Origin | None = None
    """None when the step ran."""
    text: str | None = field(default=None, compare=False)
    """The outputs as compact JSON, where it is known; nobody who reads history needs it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class AttemptFailed:
    """An attempt failed and another follows at `retry_at`."""

    path: str
    attempt: int
    failure: Failure
    usage: Usage
    started_at: dt.datetime
    retry_at: dt.datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class StepFailed:
    """The last attempt failed; `handling` says what that means for the run.

    `target` is the node that is called: the fallback, or where the alternative path begins.
    """

    path: str
    attempt: int
    failure: Failure
    usage: Usage
    started_at: dt.datetime
    handling: Handling
    conditions: Mapping[str, bool]
    target: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class StepSkipped:
    """The step will never run."""

    path: str
    reason: SkipReason


@dataclass(frozen=True, kw_only=True, slots=True)
class StepCanceled:
    """A running attempt obeyed the stop."""

    path: str
    attempt: int


StepEvent: TypeAlias = (
    StepDispatched
    | StepStarted
    | StepCompleted
    | AttemptFailed
    | StepFailed
    | StepSkipped
    | StepCanceled
    | StepWaiting
    | StepIterated
    | StepReused
    | StepCalled
    | StepCompensated
    | MapEvent
)
RunEvent: TypeAlias = (
    RunQueued
    | RunStarted
    | RunCanceling
    | RunCompensating
    | RunCompensated
    | RunEnded
    | RunPaused
    | RunResumed
    | SignalReceived
)
Event: TypeAlias = RunEvent | StepEvent | StepGiven | ItemGiven
