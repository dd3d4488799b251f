"""Carries run-level facts from the engine's outbox to the typed events that other apps react to.

An entry is removed in the transaction that announces it, in its own tenant's scope: each is
announced exactly once, and one that cannot be announced stays, with a growing pause, in nobody's
way.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from django.db import connection
from structlog.contextvars import bound_contextvars

from apps.executions.events import RunFinished, RunStarted
from apps.executions.models import Run
from apps.kit import events
from apps.kit.clock import now
from apps.kit.events import Event
from apps.tenancy import scope

logger = logging.getLogger(__name__)

AT_ONCE: Final = 200
TURN_SECONDS: Final = 0.5

# Below the oldest open transaction: nothing older can still appear. A run's entries stay in order.
_DUE: Final = """
    SELECT o.xid::text, o.id, o.tenant_id, o.run_id, o.kind FROM outbox o
     WHERE o.due_at <= clock_timestamp() AND o.xid < pg_snapshot_xmin(pg_current_snapshot())
       AND NOT EXISTS (SELECT FROM outbox e
                        WHERE e.run_id = o.run_id AND (e.xid, e.id) < (o.xid, o.id)
                          AND e.due_at > clock_timestamp())
     ORDER BY o.xid, o.id LIMIT %s
"""
_TAKE: Final = """
    DELETE FROM outbox WHERE (xid, id) IN (
      SELECT xid, id FROM outbox WHERE xid = %s::xid8 AND id = %s FOR UPDATE SKIP LOCKED)
"""
_LATER: Final = """
    UPDATE outbox SET tries = tries + 1,
           due_at = clock_timestamp() + least(300, 2 ^ least(tries, 9)) * interval '1 second'
     WHERE xid = %s::xid8 AND id = %s
"""


@dataclass(frozen=True)
class _Entry:
    xid: str
    id: int
    tenant_id: UUID
    run_id: UUID
    kind: str


def relay_due() -> int:
    """Announce what is due, for half a second at most; returns how many. For the engine's role."""
    until = time.monotonic() + TURN_SECONDS
    announced = 0
    for entry in _due():
        announced += _announce(entry)
        if time.monotonic() >= until:
            break
    return announced


def _due() -> list[_Entry]:
    with connection.cursor() as cursor:
        cursor.execute(_DUE, [AT_ONCE])
        return [_Entry(*row) for row in cursor.fetchall()]


def _announce(entry: _Entry) -> bool:
    with bound_contextvars(run=str(entry.run_id), tenant=str(entry.tenant_id)):
        return _announced(entry)


def _announced(entry: _Entry) -> bool:
    key: tuple[str, int] = (entry.xid, entry.id)
    try:
        with scope.tenant(entry.tenant_id), connection.cursor() as cursor:
            cursor.execute(_TAKE, key)
            if not cursor.rowcount:
                return False  # Another process has it.
            run = Run.objects.filter(pk=entry.run_id).first()
            if run is not None:
                events.publish(_event(entry, run))
    except Exception:
        logger.exception("%s was not announced", entry.kind)
        with connection.cursor() as cursor:
            cursor.execute(_LATER, key)
        return False
    return True


def _event(entry: _Entry, run: Run) -> Event:
    if entry.kind == "run.started":
        return RunStarted(
            tenant_id=entry.tenant_id,
            run_id=run.pk,
            workflow_id=run.workflow_id,
            environment_id=run.environment_id,
        )
    wall = run.duration
    return RunFinished(
        tenant_id=entry.tenant_id,
        run_id=run.pk,
        workflow_id=run.workflow_id,
        environment_id=run.environment_id,
        installation_id=run.installation_id,
        finished_at=run.finished_at or now(),
        state=run.state,
        error_code=run.error["code"] if run.error else None,
        steps=run.attempts,
        cpu_seconds=run.cpu_seconds,
        wall_ms=round(wall.total_seconds() * 1000) if wall else 0,
        bytes_in=run.bytes_in,
        bytes_out=run.bytes_out,
        cost_minor=run.cost_minor,
    )
