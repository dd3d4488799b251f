"""The states of a run and of its steps, and the one table of what may follow what."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType


class RunStatus(StrEnum):
    """Where a run is; the API's ExecutionStatus."""

    QUEUED = "QUEUED"
    RUNNING = "RUNNING"
    WAITING = "WAITING"
    PAUSED = "PAUSED"
    CANCELING = "CANCELING"
    COMPENSATING = "COMPENSATING"
    SUCCEEDED = "SUCCEEDED"
    PARTIAL = "PARTIAL"
    FAILED = "FAILED"
    CANCELED = "CANCELED"
    TIMED_OUT = "TIMED_OUT"

    @property
    def is_terminal(self) -> bool:
        """Nothing follows: a terminal run stays as it is, a retry is a new run."""
        return self in TERMINAL_RUNS


class StepStatus(StrEnum):
    """Where a step is; the API's NodeRunStatus."""

    BLOCKED = "BLOCKED"
    READY = "READY"
    RUNNING = "RUNNING"
    RETRY_WAIT = "RETRY_WAIT"
    WAITING = "WAITING"
    SUCCEEDED = "SUCCEEDED"
    CACHED = "CACHED"
    FAILED = "FAILED"
    SKIPPED = "SKIPPED"
    CANCELED = "CANCELED"
    IN_DOUBT = "IN_DOUBT"
    COMPENSATED = "COMPENSATED"

    @property
    def is_settled(self) -> bool:
        """The step's connections are decided: no attempt follows in this run."""
        return self in SETTLED_STEPS


class IllegalTransition(Exception):
    """History claims a move that the table does not have: a bug, never a user's fault."""


_R = RunStatus
TERMINAL_RUNS = frozenset({_R.SUCCEEDED, _R.PARTIAL, _R.FAILED, _R.CANCELED, _R.TIMED_OUT})

# WAITING is RUNNING with nothing left to do but wait: the row says so, history does not.
RUN_TRANSITIONS: Mapping[RunStatus, frozenset[RunStatus]] = MappingProxyType(
    {
        _R.QUEUED: frozenset({_R.RUNNING, _R.CANCELING}),
        _R.RUNNING: frozenset(
            {_R.PAUSED, _R.CANCELING, _R.COMPENSATING, _R.SUCCEEDED, _R.PARTIAL, _R.FAILED}
        ),
        _R.PAUSED: frozenset(
            {_R.RUNNING, _R.COMPENSATING, _R.CANCELING, _R.SUCCEEDED, _R.PARTIAL, _R.FAILED}
        ),
        _R.COMPENSATING: frozenset(
            {
                *(_R.RUNNING, _R.PAUSED, _R.CANCELING, _R.FAILED, _R.CANCELED, _R.TIMED_OUT),
                _R.SUCCEEDED,  # What was started to undo another's work, and did.
            }
        ),
        _R.CANCELING: frozenset({_R.COMPENSATING, _R.CANCELED, _R.TIMED_OUT}),
        _R.SUCCEEDED: frozenset(),
        _R.PARTIAL: frozenset(),
        _R.FAILED: frozenset(),
        _R.CANCELED: frozenset(),
        _R.TIMED_OUT: frozenset(),
    }
)

_S = StepStatus
SETTLED_STEPS = frozenset(
    {_S.SUCCEEDED, _S.CACHED, _S.FAILED, _S.SKIPPED, _S.CANCELED, _S.COMPENSATED}
)

_ENDS = frozenset({_S.SUCCEEDED, _S.CACHED, _S.RETRY_WAIT, _S.FAILED, _S.CANCELED})

# RUNNING → READY: a container whose iteration has ended is asked again.
# WAITING → WAITING: what it waited for failed, and its rules have it wait for somebody else.
# READY → SUCCEEDED: a pure or keyed attempt needs no intent, its completion is its only event.
STEP_TRANSITIONS: Mapping[StepStatus, frozenset[StepStatus]] = MappingProxyType(
    {
        _S.BLOCKED: frozenset({_S.READY, _S.SKIPPED, _S.CANCELED}),
        _S.READY: _ENDS | {_S.RUNNING, _S.WAITING, _S.IN_DOUBT},
        _S.RUNNING: _ENDS | {_S.WAITING, _S.IN_DOUBT, _S.READY},
        _S.WAITING: _ENDS | {_S.WAITING, _S.IN_DOUBT},
        _S.IN_DOUBT: _ENDS | {_S.WAITING},
        _S.RETRY_WAIT: frozenset({_S.READY, _S.CANCELED}),
        _S.SUCCEEDED: frozenset({_S.COMPENSATED}),
        _S.CACHED: frozenset({_S.COMPENSATED}),
        _S.COMPENSATED: frozenset(),
        _S.FAILED: frozenset(),
        _S.SKIPPED: frozenset(),
        _S.CANCELED: frozenset(),
    }
)


def moved_run(old: RunStatus, *, to: RunStatus) -> RunStatus:
    """The new status; raises IllegalTransition where the table does not lead."""
    if to not in RUN_TRANSITIONS.get(old, ()):
        raise IllegalTransition(f"run: {old} → {to}")
    return to


def moved_step(old: StepStatus, *, to: StepStatus) -> StepStatus:
    """The new status; raises IllegalTransition where the table does not lead."""
    if to not in STEP_TRANSITIONS.get(old, ()):
        raise IllegalTransition(f"step: {old} → {to}")
    return to
