"""Carries run-level facts from the engine's outbox to the typed events that other apps react to.

An entry is removed in the transaction that announces it, in its own tenant's scope: each is
announced exactly once, and one that cannot be announced stays, with a growing pause, in nobody's
way. Entries of one tenant share a transaction as long as all of them can be announced.
"""

from __future__ import annotations

import datetime as dt
import logging
import time
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from django.db import connection
from structlog.contextvars import bound_contextvars

from apps.executions import brief
from apps.executions.crashpoints import crashpoint
from apps.executions.events import RunFinished, RunsFinished
from apps.executions.models import Run
from apps.kit import events
from apps.kit.clock import now

logger = logging.getLogger(__name__)

AT_ONCE: Final = 200
TOGETHER: Final = 100
TURN_SECONDS: Final = 0.5

# Below the oldest open transaction: nothing older can still appear. A run's entries stay in order.
_DUE: Final = """
    SELECT o.xid::text, o.id, o.tenant_id, o.run_id, o.kind FROM outbox o
     WHERE o.due_at <= clock_timestamp() AND o.xid < pg_snapshot_xmin(pg_current_snapshot())
       AND NOT EXISTS (SELECT FROM outbox e
                        WHERE e.run_id = o.run_id AND (e.xid, e.id) < (o.xid, o.id)
                          AND e.due_at > '-infinity' AND e.due_at > clock_timestamp())
     ORDER BY o.xid, o.id LIMIT %s
"""
# One by one by their key: a plan of its own choice might walk over all that is gone already.
_TAKE: Final = """
    DELETE FROM outbox WHERE ctid = ANY (ARRAY (
      SELECT mine.ctid FROM unnest(%s::text[], %s::bigint[]) AS e(x, i), LATERAL (
        SELECT o.ctid FROM outbox o WHERE o.xid = e.x::xid8 AND o.id = e.i
         LIMIT 1 FOR UPDATE SKIP LOCKED) AS mine))
    RETURNING xid::text, id
"""
_LATER: Final = """
    UPDATE outbox SET tries = tries + 1,
           due_at = clock_timestamp() + least(300, 2 ^ least(tries, 9)) * interval '1 second'
     WHERE xid = %s::xid8 AND id = %s
"""
_FACTS: Final = (
    *("id", "workflow_id", "environment_id", "installation_id", "started_at", "finished_at"),
    *("state", "error", "attempts", "cpu_seconds", "bytes_in", "bytes_out", "cost_minor"),
    "parent_kind",
)


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
    while due := _due():
        crashpoint("relay.read")
        before = announced
        for entries in _by_tenant(due):
            announced += _announce(entries)
            if time.monotonic() >= until:
                return announced
        if len(due) < AT_ONCE or announced == before:
            break  # That was all, or another process has them.
    return announced


def _by_tenant(entries: Iterable[_Entry]) -> Iterator[list[_Entry]]:
    """In order within each tenant, a bounded number at a time."""
    tenants: dict[UUID, list[_Entry]] = {}
    for entry in entries:
        tenants.setdefault(entry.tenant_id, []).append(entry)
    for mine in tenants.values():
        for at in range(0, len(mine), TOGETHER):
            yield mine[at : at + TOGETHER]


def _due() -> list[_Entry]:
    with connection.cursor() as cursor:
        cursor.execute(_DUE, [AT_ONCE])
        return [_Entry(*row) for row in cursor.fetchall()]


def _announce(entries: Sequence[_Entry]) -> int:
    """How many of a tenant's were announced; when one fails, each is tried by itself."""
    try:
        return _together(entries)
    except Exception:
        if len(entries) > 1:
            return sum(_announce([entry]) for entry in entries)
        (entry,) = entries
        logger.exception("%s of run %s was not announced", entry.kind, entry.run_id)
        with connection.cursor() as cursor:
            cursor.execute(_LATER, (entry.xid, entry.id))
        return 0


def _together(entries: Sequence[_Entry]) -> int:
    with brief.transaction(entries[0].tenant_id) as cursor:
        keys = [entry.xid for entry in entries], [entry.id for entry in entries]
        cursor.execute(_TAKE, keys)
        # Another process may have some of them.
        taken = set(cursor.fetchall())
        mine = [entry for entry in entries if (entry.xid, entry.id) in taken]
        # Workers of the third release say that a run has begun, too.
        ended = {entry.run_id for entry in mine if entry.kind == "run.finished"}
        finished = _finished(entries[0].tenant_id, ended)
        if finished:
            events.publish(RunsFinished(runs=finished))
        for event in finished:
            with bound_contextvars(run=str(event.run_id), tenant=str(event.tenant_id)):
                events.publish(event)
        crashpoint("relay.announced")
    crashpoint("relay.committed")
    return len(mine)


def _finished(tenant_id: UUID, run_ids: Collection[UUID]) -> tuple[RunFinished, ...]:
    """What became of these runs, without a model for each: there are many."""
    if not run_ids:
        return ()
    found = Run.objects.filter(pk__in=run_ids).order_by().values_list(*_FACTS, named=True)
    return tuple(
        RunFinished(
            tenant_id=tenant_id,
            run_id=run.id,
            workflow_id=run.workflow_id,
            environment_id=run.environment_id,
            installation_id=run.installation_id,
            finished_at=run.finished_at or now(),
            state=run.state,
            error_code=run.error["code"] if run.error else None,
            steps=run.attempts,
            cpu_seconds=run.cpu_seconds,
            wall_ms=_milliseconds(run.started_at, run.finished_at),
            bytes_in=run.bytes_in,
            bytes_out=run.bytes_out,
            cost_minor=run.cost_minor,
            parent_kind=run.parent_kind,
        )
        for run in found
    )


def _milliseconds(begun: dt.datetime | None, ended: dt.datetime | None) -> int:
    return round((ended - begun).total_seconds() * 1000) if begun and ended else 0
