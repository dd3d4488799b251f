"""Stopping a run."""

from __future__ import annotations

import json
import uuid

from django.db import connection

from apps.executions import policies
from apps.executions.actions.finding import found
from apps.executions.events import RunReady
from apps.executions.models import Run
from apps.kit import events
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
        tenant_id = scope.current_tenant_id()
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT executions_tell_1(%s, %s, %s, 'cancel', %s::jsonb)",
                [tenant_id, run_id, uuid7(), json.dumps({"by": actor.name})],
            )
        audit.record(actor=actor, action="run.cancel", target=f"Run:{run_id}")
        events.publish(RunReady(tenant_id=tenant_id, run_id=run_id, pool=run.pool))
        return run
