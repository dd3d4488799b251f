"""Sending a signal into a run."""

from __future__ import annotations

import json
import uuid
from typing import Final

from django.db import connection

from apps.executions import policies
from apps.executions.actions.finding import found
from apps.executions.engine.state import RunStatus
from apps.executions.engine.storable import INLINE_LIMIT, Unstorable, dumps
from apps.executions.engine.wait_events import SignalReceived, signal_json
from apps.executions.errors import ExecutionEnded, SignalsFull
from apps.executions.events import RunReady
from apps.executions.models import Run
from apps.kit import events
from apps.kit.errors import Refusal
from apps.kit.ids import uuid7
from apps.tenancy import audit, scope
from apps.tenancy.actors import Actor
from apps.tenancy.policies import require
from apps.workflows.graph.declaration import Json

PENDING_LIMIT: Final = 2_000
"""Signals of one run that no step has taken."""
NAME_LIMIT: Final = 200
_SIGNAL: Final = "SELECT executions_signal_3(%s, %s, %s, %s::jsonb, %s)"


def signal_run(
    *,
    actor: Actor,
    run_id: uuid.UUID,
    name: str,
    payload: Json = None,
    dedup_key: str | None = None,
    correlation_key: str | None = None,
) -> Run:
    """Send; kept until a step waits for the name. The same `dedup_key` counts once in a run.

    Raises ExecutionEnded, SignalsFull for the 2,001st that no step has taken, Refusal for a name
    or payload that cannot be.
    """
    require(policies.can_signal_run(actor), "send signals to runs")
    for path, text in (
        ("name", name),
        ("dedupKey", dedup_key),
        ("correlationKey", correlation_key),
    ):
        _require_short(path, text)
    _require_storable(payload)
    with scope.transaction():
        run = found(run_id)
        message_id = uuid7() if dedup_key is None else uuid.uuid5(run_id, f"signal/{dedup_key}")
        signal = SignalReceived(
            id=dedup_key or str(message_id),
            name=name,
            key=correlation_key,
            payload=payload,
            by=actor.name,
        )
        _send(run, message_id, signal)
        if actor.user_id is not None:
            audit.record(
                actor=actor, action="run.signal", target=f"Run:{run_id}", after={"name": name}
            )
        return run


def _send(run: Run, message_id: uuid.UUID, signal: SignalReceived) -> None:
    tenant_id = scope.current_tenant_id()
    body = json.dumps(signal_json(signal))
    with connection.cursor() as cursor:
        cursor.execute(_SIGNAL, [tenant_id, run.pk, message_id, body, PENDING_LIMIT])
        (state,) = cursor.fetchone()
    if state == "FULL":
        raise SignalsFull(limit=PENDING_LIMIT)
    if RunStatus(state).is_terminal:
        raise ExecutionEnded(state=state)
    events.publish(RunReady(tenant_id=tenant_id, run_id=run.pk, pool=run.pool))


def _require_short(path: str, text: str | None) -> None:
    if text is not None and not 1 <= len(text) <= NAME_LIMIT:
        raise Refusal(f"Give {path} 1 to {NAME_LIMIT} characters.", path=(path,))
    if text is not None and "\x00" in text:
        raise Refusal(f"Leave the NUL character out of {path}.", path=(path,))


def _require_storable(payload: Json) -> None:
    try:
        dumps(payload, limit=INLINE_LIMIT)
    except Unstorable as error:
        raise Refusal(str(error), path=("payload",)) from error
