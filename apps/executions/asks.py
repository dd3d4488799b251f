"""Tells the rest of the product that a step waits for it, or need not be answered any more.

A slice leaves the ask in the append that records the wait; it is removed in the transaction that
publishes the event, so whoever reacts does so exactly once. The run's row is locked meanwhile: a
run that ends waits for us, and whoever reacts to its end finds what was begun here.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from django.db import connection
from structlog.contextvars import bound_contextvars

from apps.executions.engine.slice_ports import AskKind
from apps.executions.engine.wait_events import read_waiting
from apps.executions.events import StepAsks, WaitOver
from apps.executions.models import RunEvent
from apps.kit import events
from apps.kit.events import Event
from apps.tenancy import scope

logger = logging.getLogger(__name__)

AT_ONCE: Final = 200
TURN_SECONDS: Final = 0.5

_DUE: Final = """
    (SELECT tenant_id, run_id, seq, kind, at FROM ask WHERE due_at <= clock_timestamp()
      ORDER BY due_at, at LIMIT %s)
    UNION ALL
    (SELECT tenant_id, run_id, seq, kind, at FROM ask WHERE child_at <= clock_timestamp()
      ORDER BY child_at, at LIMIT %s)
     ORDER BY at
"""
_OPEN: Final = """
    SELECT FROM run WHERE tenant_id = %s AND id = %s AND finished_at IS NULL FOR SHARE
"""
_TAKE: Final = """
    DELETE FROM ask WHERE (tenant_id, run_id, seq) IN (
      SELECT tenant_id, run_id, seq FROM ask
       WHERE tenant_id = %s AND run_id = %s AND seq = %s FOR UPDATE SKIP LOCKED)
"""
_LATER: Final = """
    UPDATE ask SET tries = tries + 1,
           due_at = greatest(due_at, clock_timestamp()) + pause,
           child_at = child_at + (clock_timestamp() - child_at) + pause
      FROM (SELECT least(300, 2 ^ least(tries, 9)) * interval '1 second' AS pause
              FROM ask WHERE tenant_id = %s AND run_id = %s AND seq = %s) waits
     WHERE tenant_id = %s AND run_id = %s AND seq = %s
"""


@dataclass(frozen=True)
class _Ask:
    tenant_id: UUID
    run_id: UUID
    seq: int
    kind: str

    @property
    def key(self) -> tuple[UUID, UUID, int]:
        return (self.tenant_id, self.run_id, self.seq)


def ask_due() -> int:
    """Publish what is due, for half a second at most; returns how many. For the engine's role."""
    until = time.monotonic() + TURN_SECONDS
    asked = 0
    with connection.cursor() as cursor:
        cursor.execute(_DUE, [AT_ONCE, AT_ONCE])
        due = [_Ask(*row[:4]) for row in cursor.fetchall()]
    for ask in due:
        with bound_contextvars(run=str(ask.run_id), tenant=str(ask.tenant_id)):
            asked += _asked(ask)
        if time.monotonic() >= until:
            break
    return asked


def _asked(ask: _Ask) -> bool:
    try:
        with scope.tenant(ask.tenant_id), connection.cursor() as cursor:
            cursor.execute(_OPEN, ask.key[:2])
            is_open = bool(cursor.rowcount)
            cursor.execute(_TAKE, ask.key)
            if not cursor.rowcount:
                return False  # Another process has it.
            event = _event(ask, is_open=is_open)
            if event is not None:
                events.publish(event)
            return event is not None
    except Exception:
        logger.exception("the %s of run %s was not passed on", ask.kind, ask.run_id)
        with connection.cursor() as cursor:
            cursor.execute(_LATER, ask.key * 2)
        return False


def _event(ask: _Ask, *, is_open: bool) -> Event | None:
    """None for a step that does not wait any more: it was answered before it was asked."""
    row = RunEvent.objects.get(run_id=ask.run_id, seq=ask.seq)
    if ask.kind != AskKind.WAITING:
        return WaitOver(
            tenant_id=ask.tenant_id, run_id=ask.run_id, path=row.path, attempt=row.attempt
        )
    if not is_open or row.path is None or row.attempt is None:
        return None
    later = RunEvent.objects.filter(run_id=ask.run_id, path=row.path, seq__gt=ask.seq)
    if later.exists():
        return None
    waiting = read_waiting(row.path, row.attempt, row.body or {})
    return StepAsks(
        tenant_id=ask.tenant_id,
        run_id=ask.run_id,
        path=row.path,
        attempt=row.attempt,
        wait=waiting.wait,
    )
