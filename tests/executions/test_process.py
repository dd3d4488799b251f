"""The product's own worker process, from start_run to the ledger, with real nodes."""

from __future__ import annotations

import time
import uuid

import pytest
import redis
from django.conf import settings

from apps.billing.models import UsageEntry
from apps.executions import history
from apps.executions.actions import start_run
from apps.tenancy import scope
from apps.workflows.actions import create_workflow
from tests.executions.processes import product
from tests.executions.world import finished, types
from tests.factories.tenancy import Tenant

pytestmark = pytest.mark.django_db(transaction=True)

GREETING = {
    "schemaVersion": 1,
    "name": "Greeting",
    "type": "dataPipeline",
    "nodes": [
        {
            "id": "who",
            "type": "input.constant",
            "configuration": {"value": {"name": "{{ parameters.name }}"}},
        },
        {
            "id": "hello",
            "type": "transform.template",
            "configuration": {"template": "Hello {{ data.name }}"},
        },
    ],
    "connections": [{"id": "c", "source": "who", "target": "hello"}],
    "configuration": {
        "parameters": [{"name": "name", "schema": {"type": "string"}, "default": "Ada"}]
    },
}


def test_a_workflow_of_real_nodes_runs_to_its_end(acme: Tenant) -> None:
    redis.Redis.from_url(settings.REDIS_BROKER_URL).flushdb()  # PostgreSQL holds the truth.
    with scope.tenant(acme.id, actor=acme.owner):
        drawn = create_workflow(actor=acme.owner, document=GREETING)
        run = start_run(actor=acme.owner, workflow_id=drawn.pk)
    with product():
        run = finished(acme, run.pk, seconds=40)
        told = times_told(acme, run.pk)
    assert (run.state, run.error) == ("SUCCEEDED", None)
    assert run.result == {"hello": {"text": "Hello Ada"}}
    assert types(acme, run.pk)[-1] == "run.succeeded"
    with scope.tenant(acme.id):
        steps = history.steps(run)
    assert [(step.path, step.status) for step in steps] == [
        ("who", "SUCCEEDED"),
        ("hello", "SUCCEEDED"),
    ]
    assert told == 1, "the ledger hears of the end once"


def times_told(tenant: Tenant, run_id: uuid.UUID) -> int:
    """How often the ledger has heard of the end, once it has."""
    # The outbox waits for the oldest transaction of the server: a neighbor's test may be long.
    until = time.monotonic() + 60
    entries = 0
    while not entries and time.monotonic() < until:
        with scope.tenant(tenant.id):
            entries = UsageEntry.objects.filter(run_id=run_id).count()
        time.sleep(0.1)
    return entries
