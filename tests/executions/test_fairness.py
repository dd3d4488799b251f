"""A tenant with very many queued runs beside tenants with one each; `make fairness` has more."""

from __future__ import annotations

import json
import os
import statistics
import sys
import threading
import uuid

import pytest
from django.db import connection

from apps.executions.engine.plan import compile_plan
from apps.executions.engine.ports import LogSink, StepCall, StepDone, StepOutcome, StopSignal
from apps.executions.models import Run
from apps.kit.ids import uuid7
from apps.tenancy import scope
from apps.workflows.graph.document import parse
from tests.executions.world import VERSIONS, ScriptedRunner, finished, start, worker
from tests.factories.graphs import CATALOGUE, a, raw
from tests.factories.tenancy import Tenant
from tests.factories.tenancy import tenant as tenant_of

pytestmark = pytest.mark.django_db(transaction=True)

LARGE = int(os.environ.get("FAIRNESS_RUNS", "300"))
SMALL = int(os.environ.get("FAIRNESS_TENANTS", "8"))
ROUND = 2 * 32
"""Runs that two workers may have claimed before a small tenant's turn comes."""
ONE = raw([a("only")])


def queue(tenant: Tenant, number: int) -> list[uuid.UUID]:
    """Very many at once, through the start function."""
    document = parse(dict(ONE))
    version_id = uuid7()
    VERSIONS.documents[version_id] = document
    facts = {
        "workflow_id": str(uuid7()),
        "version_id": str(version_id),
        "environment_id": str(tenant.environments["DEVELOPMENT"].pk),
        "environment": "DEVELOPMENT",
        "trigger": "API",
        "priority": 5,
        "pool": "io",
        "slots": compile_plan(document, CATALOGUE).slots,
    }
    runs = [uuid7() for _ in range(number)]
    for at in range(0, number, 2_000):
        with scope.tenant(tenant.id), connection.cursor() as cursor:
            cursor.execute(
                'SELECT executions_start_7(%s, r, %s::jsonb, \'{"trigger": "API"}\', 50, 50, 1)'
                " FROM unnest(%s::uuid[]) r",
                [tenant.id, json.dumps(facts), runs[at : at + 2_000]],
            )
    return runs


def test_small_tenants_start_although_a_large_one_has_queued_before_them(acme: Tenant) -> None:
    small = [tenant_of(f"small-{number}") for number in range(SMALL)]
    queue(acme, LARGE)
    order: list[uuid.UUID] = []
    lock = threading.Lock()

    def script(call: StepCall, stop: StopSignal, logs: LogSink) -> StepOutcome:
        with lock:
            order.append(call.tenant_id)
        return StepDone(outputs={"value": 1})

    runs = [(tenant, start(tenant, ONE)) for tenant in small]
    runner = ScriptedRunner(script)
    with worker(runner), worker(runner):
        for tenant, run_id in runs:
            finished(tenant, run_id, seconds=60)
        last = max(order.index(tenant.id) for tenant in small)
        ahead = sum(one == acme.id for one in order[:last])
    line = f"{LARGE} runs beside {SMALL} tenants of one: {_waits(runs)}; {ahead} of it went first"
    sys.stdout.write(f"\n{line}\n")
    assert ahead <= ROUND + SMALL * 8, "each round of claims takes from every lane"
    with scope.tenant(acme.id), connection.cursor() as cursor:
        # The rest of them would only take time.
        for table in ("work_item", "timer"):
            cursor.execute(f"DELETE FROM {table} WHERE tenant_id = %s", [acme.id])
        Run.objects.open().delete()


def _waits(runs: list[tuple[Tenant, uuid.UUID]]) -> str:
    waits = []
    for tenant, run_id in runs:
        with scope.tenant(tenant.id):
            run = Run.objects.get(pk=run_id)
        assert run.started_at is not None
        waits.append((run.started_at - run.created_at).total_seconds())
    waits.sort()
    p99 = waits[min(len(waits) - 1, int(len(waits) * 0.99))]
    return f"started after p50 {statistics.median(waits):.2f} s, p99 {p99:.2f} s"
