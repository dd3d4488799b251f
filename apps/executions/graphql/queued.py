"""Why a run or a step waits for its turn, as the API says it."""

from __future__ import annotations

import uuid
from collections.abc import Hashable, Mapping
from typing import Protocol

import strawberry

from apps.executions.models import Run
from apps.executions.queueing import Cause, Reason, reasons

strawberry.enum(Cause, name="QueuedReasonCode")


@strawberry.type
class QueuedReason:
    """Why something that could run does not run yet, and what would change it."""

    code: Cause
    message: str

    @classmethod
    def of(cls, reason: Reason | None) -> QueuedReason | None:
        """The reason as this type."""
        return None if reason is None else cls(code=reason.cause, message=reason.message)


class OfRun(Protocol):
    """What belongs to a run."""

    run_id: uuid.UUID


def of_runs(runs: tuple[Run, ...]) -> Mapping[Hashable, Reason]:
    """Why those of a page that are open do not go on."""
    found = reasons(run.pk for run in runs if run.finished_at is None)
    return {key: found[key] for key in found}


def of_steps(steps: tuple[OfRun, ...]) -> Mapping[Hashable, Reason]:
    """Why steps of a page do not begin."""
    found = reasons({step.run_id for step in steps})
    return {key: found[key] for key in found}
