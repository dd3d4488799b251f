"""Every write of billing: which plan holds, and what a run used."""

from __future__ import annotations

import datetime as dt
import uuid
from dataclasses import dataclass
from functools import cache

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


def record_usage(usage: RunUsage) -> bool:
    """Write a run into the ledger of the tenant in force; False if it is there already.

    No actor: it is called where the end of a run is announced, which may happen more than once.
    """
    values = {
        "id": uuid7(),
        "tenant_id": scope.current_tenant_id(),
        "run_id": usage.run_id,
        "workflow_id": usage.workflow_id,
        "environment_id": usage.environment_id,
        "installation_id": usage.installation_id,
        "state": usage.state,
        "finished_at": usage.finished_at,
        "period": period_at(usage.finished_at).key,
        "steps": usage.steps,
        "cpu_ms": round(usage.cpu_seconds * 1000),
        "wall_ms": usage.wall_ms,
        "bytes_in": usage.bytes_in,
        "bytes_out": usage.bytes_out,
        "cost_minor": usage.cost_minor,
        "recorded_at": now(),
    }
    # Once per run of the whole platform, in a worker's process: written without the ORM, and as one
    # with what announces the run's end.
    with scope.joined(), connection.cursor() as cursor:
        cursor.execute(_insert(tuple(values)), values)
        return bool(cursor.rowcount)


@cache
def _insert(columns: tuple[str, ...]) -> str:
    statement = sql.SQL("INSERT INTO {} ({}) VALUES ({}) ON CONFLICT DO NOTHING").format(
        sql.Identifier(UsageEntry._meta.db_table),
        sql.SQL(", ").join(map(sql.Identifier, columns)),
        sql.SQL(", ").join(map(sql.Placeholder, columns)),
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
