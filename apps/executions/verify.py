"""The engine's invariants (sql/invariants.sql) asked of the rows: none may be violated, ever.

Structure holds the rest of the design's list: I3 is a unique key, I23 the compare-and-set of every
append, I24 and I26 the slice (proved by simulation).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Final
from uuid import UUID

from django.db import connection, transaction

from apps.executions import history
from apps.executions.engine.state import IllegalTransition
from apps.executions.models import Run
from apps.executions.sql import sql
from apps.tenancy import periodic, scope

SHOWN: Final = 20
FOLDED: Final = 200
"""Runs per tenant, the newest, whose history is folded."""
_PATIENTLY: Final = "SET LOCAL statement_timeout = '10min'"
"""All rows are read, and there may be very many: nobody waits for this as for a page."""
_TENANT: Final = "TENANT"
_ENGINE: Final = "ENGINE"


@dataclass(frozen=True)
class Violation:
    """One invariant that does not hold, and the rows that say so."""

    invariant: str
    rows: tuple[str, ...]


def verify() -> list[Violation]:
    """Everything, tenant by tenant; run by the engine's role, which alone sees the workers."""
    with transaction.atomic():
        found = [*_violations(_ENGINE)]
    for organization in periodic.tenants():
        found += verify_tenant(organization.pk)
    return found


def verify_tenant(tenant_id: UUID) -> list[Violation]:
    """The invariants of one tenant's rows."""
    with scope.tenant(tenant_id):
        return [*_violations(_TENANT), *_unfoldable()]


def _violations(kind: str) -> Iterator[Violation]:
    with connection.cursor() as cursor:
        cursor.execute(_PATIENTLY)
        for of, name, query in _queries():
            if of != kind:
                continue
            cursor.execute(query)
            rows = tuple(" ".join(map(str, row)) for row in cursor.fetchmany(SHOWN))
            if rows:
                yield Violation(name, rows)


@cache
def _queries() -> tuple[tuple[str, str, str], ...]:
    """(kind, name, query) of each block of the file; the first block is its preface."""
    blocks = sql("invariants").strip().split("\n\n")[1:]
    parted = (block.partition("\n") for block in blocks)
    named = ((heading.removeprefix("-- ").partition(" "), query) for heading, _, query in parted)
    return tuple((kind, name, query) for (kind, _, name), query in named)


def _unfoldable() -> Iterator[Violation]:
    """I18: every history is a walk through the table of states."""
    lost = []
    for run_id in Run.objects.newest().values_list("pk", flat=True)[:FOLDED]:
        try:
            history.step_views(history.all_events(run_id))
        except IllegalTransition as error:
            lost.append(f"{run_id} {error}")
    if lost:
        yield Violation("I18 states move along the table", tuple(lost[:SHOWN]))
