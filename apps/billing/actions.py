"""Every write of billing: which plan holds, and what a run used."""

from __future__ import annotations

import datetime as dt
import uuid
from dataclasses import dataclass
from functools import cache
from typing import Final

from django.db import connection
from psycopg import sql

from apps.billing import policies
from apps.billing.models import UsageEntry
from apps.billing.periods import period_at
from apps.billing.plans import Plan, plan_of
from apps.kit.clock import now
from apps.kit.ids import uuid7
from apps.tenancy import limits, scope
from apps.tenancy.actions import assign_plan
from apps.tenancy.actors import Actor
from apps.tenancy.policies import require


@dataclass(frozen=True, kw_only=True)
class RunUsage:
    """What a finished run used, as its engine counted it. Money in minor units of USD."""

    run_id: uuid.UUID
    workflow_id: uuid.UUID
    environment_id: uuid.UUID
    installation_id: uuid.UUID | None
    state: str
    finished_at: dt.datetime
    steps: int
    cpu_seconds: float
    wall_ms: int
    bytes_in: int
    bytes_out: int
    cost_minor: int


def record_usage(*used: RunUsage) -> int:
    """Write runs into the ledger of the tenant in force; how many were not there already.

    No actor: it is called where the end of a run is announced, which may happen more than once.
    """
    rows = [
        (
            uuid7(),
            usage.run_id,
            usage.workflow_id,
            usage.environment_id,
            usage.installation_id,
            usage.state,
            usage.finished_at,
            period_at(usage.finished_at).key,
            usage.steps,
            round(usage.cpu_seconds * 1000),
            usage.wall_ms,
            usage.bytes_in,
            usage.bytes_out,
            usage.cost_minor,
        )
        for usage in used
    ]
    columns = [list(column) for column in zip(*rows, strict=True)]
    # Once per run of the whole platform, in a worker's process: written without the ORM, and as one
    # with what announces the runs' end.
    with scope.joined(), connection.cursor() as cursor:
        cursor.execute(_insert(), [scope.current_tenant_id(), now(), *columns])
        return int(cursor.rowcount)


_COLUMNS: Final = {
    "id": "uuid",
    "run_id": "uuid",
    "workflow_id": "uuid",
    "environment_id": "uuid",
    "installation_id": "uuid",
    "state": "text",
    "finished_at": "timestamptz",
    "period": "date",
    "steps": "bigint",
    "cpu_ms": "bigint",
    "wall_ms": "bigint",
    "bytes_in": "bigint",
    "bytes_out": "bigint",
    "cost_minor": "bigint",
}


@cache
def _insert() -> str:
    statement = sql.SQL(
        "INSERT INTO {} (tenant_id, recorded_at, {}) SELECT %s, %s, u.* FROM unnest({}) AS u"
        " ON CONFLICT DO NOTHING"
    ).format(
        sql.Identifier(UsageEntry._meta.db_table),
        sql.SQL(", ").join(map(sql.Identifier, _COLUMNS)),
        sql.SQL(", ").join(sql.SQL(f"%s::{kind}[]") for kind in _COLUMNS.values()),
    )
    return statement.as_string()


def change_plan(*, actor: Actor, plan_key: str) -> Plan:
    """Put the organization in force on another plan.

    What is used already stays, even above the new limits: nothing is taken away, new things are
    refused.
    """
    require(policies.can_change_plan(actor), "change the plan")
    plan = plan_of(plan_key)
    with scope.transaction():
        assign_plan(actor=actor, plan_key=plan.key)
        limits.set_limits(plan.limits)
    return plan


def apply_plan(*, plan_key: str) -> None:
    """Set the limits of a new organization in force."""
    with scope.transaction():
        limits.set_limits(plan_of(plan_key).limits)
