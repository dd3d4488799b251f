"""Tells the rest of the product that a step waits for it, or need not be answered any more.

A slice leaves the ask in the append that records the wait; it is removed in the transaction that
publishes the event, so whoever reacts does so exactly once. The run's row is locked meanwhile: a
run that ends waits for us, and whoever reacts to its end finds what was begun here.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from django.db import connection
from structlog.contextvars import bound_contextvars

from apps.executions import brief
from apps.executions.engine.slice_ports import AskKind
from apps.executions.engine.wait_events import read_waiting
from apps.executions.events import StepAsks, WaitOver
from apps.executions.models import RunEvent
from apps.kit import events
from apps.kit.events import Event

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
# A step has left its wait by an event of its own, of a container around it, or of the whole run.
_ENDS: Final = """
    (e.path = w.path OR e.type = 'run.compensating'
     OR starts_with(w.path, e.path || '[') AND e.type = ANY (
       '{step.completed,step.failed,step.canceled,step.attempt_failed}'))
"""
_GONE_ON: Final = f"""
    SELECT FROM run_event w
      JOIN run_event e ON (e.tenant_id, e.run_id) = (w.tenant_id, w.run_id) AND e.seq > w.seq
     WHERE w.tenant_id = %s AND w.run_id = %s AND w.seq = %s AND {_ENDS} LIMIT 1
"""
_WITHDRAWN: Final = f"""
    SELECT w.path, w.attempt FROM run_event c
      JOIN run_event w ON (w.tenant_id, w.run_id) = (c.tenant_id, c.run_id) AND w.seq < c.seq
       AND w.type = 'step.waiting'
       AND (c.type = 'run.compensating' OR w.path = c.path OR starts_with(w.path, c.path || '['))
     WHERE c.tenant_id = %s AND c.run_id = %s AND c.seq = %s
       AND NOT EXISTS (
         SELECT FROM run_event e
          WHERE (e.tenant_id, e.run_id) = (w.tenant_id, w.run_id)
            AND e.seq > w.seq AND e.seq < c.seq AND {_ENDS})
"""  # noqa: S608 - a text of ours


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
        with brief.transaction(ask.tenant_id) as cursor:
            cursor.execute(_OPEN, ask.key[:2])
            is_open = bool(cursor.rowcount)
            cursor.execute(_TAKE, ask.key)
            if not cursor.rowcount:
                return False  # Another process has it.
            found = tuple(_events(ask, is_open=is_open))
            for event in found:
                events.publish(event)
            return bool(found)
    except Exception:
        logger.exception("the %s of run %s was not passed on", ask.kind, ask.run_id)
        with connection.cursor() as cursor:
            cursor.execute(_LATER, ask.key * 2)
        return False


def _events(ask: _Ask, *, is_open: bool) -> Iterator[Event]:
    """None of a step that does not wait any more: it was answered before it was asked."""
    row = RunEvent.objects.get(run_id=ask.run_id, seq=ask.seq)
    if ask.kind == AskKind.WITHDRAWN:
        for path, attempt in _withdrawn(ask):
            yield WaitOver(tenant_id=ask.tenant_id, run_id=ask.run_id, path=path, attempt=attempt)
    elif ask.kind != AskKind.WAITING:
        yield WaitOver(
            tenant_id=ask.tenant_id, run_id=ask.run_id, path=row.path, attempt=row.attempt
        )
    elif is_open and row.path is not None and row.attempt is not None and _waits_still(ask):
        waiting = read_waiting(row.path, row.attempt, row.body or {})
        yield StepAsks(
            tenant_id=ask.tenant_id,
            run_id=ask.run_id,
            path=row.path,
            attempt=row.attempt,
            wait=waiting.wait,
        )


def _waits_still(ask: _Ask) -> bool:
    """Neither the step has gone on, nor did the container around it end, nor is the run undone."""
    with connection.cursor() as cursor:
        cursor.execute(_GONE_ON, ask.key)
        return not cursor.rowcount


def _withdrawn(ask: _Ask) -> list[tuple[str, int]]:
    """The waits that were open as the event came that ended them."""
    with connection.cursor() as cursor:
        cursor.execute(_WITHDRAWN, ask.key)
        return list(cursor.fetchall())
