"""A run that starts nothing for a while: asked for, recorded, and taken back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from apps.executions.engine.state import RunStatus

PAUSE: Final = "pause"
RESUME: Final = "resume"


@dataclass(frozen=True, kw_only=True, slots=True)
class RunPaused:
    """Nothing starts any more; what runs ends, time and signals go on."""

    by: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class RunResumed:
    """Steps start again."""

    by: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class PauseRequest:
    """Somebody wants the run paused, or not any more."""

    is_wanted: bool
    by: str | None = None


_MOVING: Final = (RunStatus.QUEUED, RunStatus.RUNNING, RunStatus.COMPENSATING)


def pausing(status: RunStatus, request: PauseRequest) -> RunPaused | RunResumed | None:
    """What a request comes to: nothing for a run that is as it should be, or is ending."""
    if request.is_wanted and status in _MOVING:
        return RunPaused(by=request.by)
    if not request.is_wanted and status is RunStatus.PAUSED:
        return RunResumed(by=request.by)
    return None
