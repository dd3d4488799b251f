"""Looks after runs that a step of another waits for, in case a word between the two was lost.

A process of the release before may have announced an end to nobody, and a step may have given up
its wait without saying so. Each open child is looked at after five seconds, then ever more rarely.
"""

from __future__ import annotations

import logging
from typing import Final
from uuid import UUID

from django.db import connection
from structlog.contextvars import bound_contextvars

from apps.executions.events import ChildOpen
from apps.kit import events
from apps.tenancy import scope

logger = logging.getLogger(__name__)

AT_ONCE: Final = 100
_DUE: Final = """
    SELECT tenant_id, run_id FROM open_child WHERE due_at <= clock_timestamp()
     ORDER BY due_at LIMIT %s
"""
_LATER: Final = """
    UPDATE open_child SET tries = tries + 1,
           due_at = clock_timestamp() + least(300, 5 * 2 ^ least(tries, 6)) * interval '1 second'
     WHERE (tenant_id, run_id) IN (
       SELECT tenant_id, run_id FROM open_child
        WHERE tenant_id = %s AND run_id = %s AND due_at <= clock_timestamp()
          FOR UPDATE SKIP LOCKED)
"""


def look_after_children() -> int:
    """Ask about those that are due; returns how many. For the engine's role."""
    with connection.cursor() as cursor:
        cursor.execute(_DUE, [AT_ONCE])
        due = cursor.fetchall()
    return sum(_looked_after(tenant_id, run_id) for tenant_id, run_id in due)


def _looked_after(tenant_id: UUID, run_id: UUID) -> bool:
    with bound_contextvars(run=str(run_id), tenant=str(tenant_id)):
        try:
            with scope.tenant(tenant_id), connection.cursor() as cursor:
                cursor.execute(_LATER, [tenant_id, run_id])
                if not cursor.rowcount:
                    return False  # Another process has it.
                events.publish(ChildOpen(tenant_id=tenant_id, run_id=run_id))
                return True
        except Exception:
            logger.exception("a child was not looked after")
            with scope.tenant(tenant_id), connection.cursor() as cursor:
                cursor.execute(_LATER, [tenant_id, run_id])
            return False
