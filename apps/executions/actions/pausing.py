"""Pausing a run and letting it go on."""

from __future__ import annotations

import uuid

from apps.executions import policies
from apps.executions.actions.finding import found, require_whole
from apps.executions.actions.telling import tell
from apps.executions.engine.pausing import PAUSE, RESUME
from apps.executions.engine.state import RunStatus
from apps.executions.errors import ExecutionEnded
from apps.executions.models import InboxMessage, Run
from apps.kit.ids import uuid7
from apps.tenancy import audit, scope
from apps.tenancy.actors import Actor
from apps.tenancy.policies import require


def pause_run(*, actor: Actor, run_id: uuid.UUID) -> Run:
    """Ask that nothing more starts; what runs ends. Repeatable. Raises ExecutionEnded."""
    require(policies.can_pause_run(actor), "pause runs")
    return _asked(actor, run_id, PAUSE)


def resume_run(*, actor: Actor, run_id: uuid.UUID) -> Run:
    """Let steps start again; a run that is not paused goes on as it is. Raises ExecutionEnded."""
    require(policies.can_pause_run(actor), "resume runs")
    return _asked(actor, run_id, RESUME)


def _asked(actor: Actor, run_id: uuid.UUID, kind: str) -> Run:
    with scope.transaction():
        run = found(run_id)
        require_whole(run)
        if run.status.is_terminal or run.status is RunStatus.CANCELING:
            raise ExecutionEnded(state=run.state)
        if (run.status is RunStatus.PAUSED) is (kind == PAUSE) and not InboxMessage.objects.filter(
            run_id=run_id
        ).exists():
            return run
        state = tell(run, kind, {"by": actor.name}, message_id=uuid7())
        if RunStatus(state).is_terminal:
            raise ExecutionEnded(state=state)
        audit.record(actor=actor, action=f"run.{kind}", target=f"Run:{run_id}")
        return run
