"""Looks after what a run owes another: its end to a step that waits, its failure to its handler.

A process of the release before may have announced an end to nobody, and a step may have given up
its wait without saying so; a handler may have found no room. Each is looked at after five seconds,
then ever more rarely.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from django.db import connection
from structlog.contextvars import bound_contextvars

from apps.executions import brief
from apps.executions.events import ChildOpen, HandlerOwed
from apps.kit import events
from apps.kit.events import Event

logger = logging.getLogger(__name__)

AT_ONCE: Final = 100


@dataclass(frozen=True, kw_only=True, slots=True)
class _Debt:
    """A table of runs that are due to be looked at, and what is published of each."""

    table: str
    event: Callable[[UUID, UUID], Event]

    @property
    def due(self) -> str:
        """The oldest first."""
        return (
            f"(SELECT tenant_id, run_id, '{self.table}' FROM {self.table}"  # noqa: S608 - constants
            " WHERE due_at <= clock_timestamp() ORDER BY due_at LIMIT %s)"
        )

    @property
    def later(self) -> str:
        """Look again in a while, which grows to five minutes."""
        return f"""
            UPDATE {self.table} SET tries = tries + 1,
                   due_at = clock_timestamp()
                            + least(300, 5 * 2 ^ least(tries, 6)) * interval '1 second'
             WHERE (tenant_id, run_id) IN (
               SELECT tenant_id, run_id FROM {self.table}
                WHERE tenant_id = %s AND run_id = %s AND due_at <= clock_timestamp()
                  FOR UPDATE SKIP LOCKED)
        """  # noqa: S608 - constants


_DEBTS: Final = {
    debt.table: debt
    for debt in (
        _Debt(
            table="open_child", event=lambda tenant, run: ChildOpen(tenant_id=tenant, run_id=run)
        ),
        _Debt(
            table="handler_owed",
            event=lambda tenant, run: HandlerOwed(tenant_id=tenant, run_id=run),
        ),
    )
}
_DUE: Final = " UNION ALL ".join(debt.due for debt in _DEBTS.values())


def look_after_debts() -> int:
    """Ask about those that are due; returns how many. For the engine's role."""
    with connection.cursor() as cursor:
        cursor.execute(_DUE, [AT_ONCE] * len(_DEBTS))
        due = cursor.fetchall()
    return sum(_looked_after(tenant_id, run_id, _DEBTS[table]) for tenant_id, run_id, table in due)


def _looked_after(tenant_id: UUID, run_id: UUID, debt: _Debt) -> bool:
    with bound_contextvars(run=str(run_id), tenant=str(tenant_id)):
        try:
            with brief.transaction(tenant_id) as cursor:
                cursor.execute(debt.later, [tenant_id, run_id])
                if not cursor.rowcount:
                    return False  # Another process has it.
                events.publish(debt.event(tenant_id, run_id))
                return True
        except Exception:
            logger.exception("%s: a run was not looked after", debt.table)
            with brief.transaction(tenant_id) as cursor:
                cursor.execute(debt.later, [tenant_id, run_id])
            return False
