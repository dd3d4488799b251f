"""Stopping a run."""

from __future__ import annotations

import uuid

from apps.executions import policies
from apps.executions.actions.finding import found
from apps.executions.actions.telling import tell
from apps.executions.models import Run
from apps.kit.ids import uuid7
from apps.tenancy import audit, scope
from apps.tenancy.actors import Actor
from apps.tenancy.policies import require


def cancel_run(*, actor: Actor, run_id: uuid.UUID) -> Run:
    """Ask a run to stop: within seconds nothing starts any more. A run that has ended stays."""
    require(policies.can_cancel_run(actor), "cancel runs")
    with scope.transaction():
        run = found(run_id)
        if run.finished_at is not None:
            return run
        tell(run, "cancel", {"by": actor.name}, message_id=uuid7())
        audit.record(actor=actor, action="run.cancel", target=f"Run:{run_id}")
        return run
