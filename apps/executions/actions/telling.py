"""Words to a run: nobody but its owner writes history, others leave them in its inbox."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping

from django.db import connection

from apps.executions.engine.wait_events import ANSWER, StepAnswer, answer_json
from apps.executions.events import RunReady
from apps.executions.models import Run
from apps.kit import events
from apps.tenancy import scope
from apps.workflows.graph.declaration import Json


def tell(run: Run, kind: str, body: Mapping[str, Json], *, message_id: uuid.UUID) -> str:
    """One word, once for an id while it is unread, and the bell; the state the run was found in.

    A run that has ended is left alone.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT executions_tell_1(%s, %s, %s, %s, %s::jsonb)",
            [scope.current_tenant_id(), run.pk, message_id, kind, json.dumps(body)],
        )
        (state,) = cursor.fetchone()
    events.publish(RunReady(tenant_id=scope.current_tenant_id(), run_id=run.pk, pool=run.pool))
    return str(state)


def answer_step(*, run_id: uuid.UUID, answer: StepAnswer) -> None:
    """What a waiting step comes to; for reactions, in the transaction that knows the answer.

    The first answer counts; one to a step that waits no more is forgotten.
    """
    run = Run.objects.filter(pk=run_id, finished_at=None).first()
    if run is not None:
        name = f"{ANSWER}/{answer.path}/{answer.attempt}/{answer.kind or ''}"
        tell(run, ANSWER, answer_json(answer), message_id=uuid.uuid5(run_id, name))
