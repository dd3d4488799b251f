"""The product's own worker process, from start_run to the ledger, with real nodes."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator

import pytest
import redis
from django.conf import settings

from apps.billing.models import UsageEntry
from apps.executions import history
from apps.executions.actions import start_run
from apps.tenancy import scope
from apps.workflows.actions import create_workflow
from tests import database
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


@pytest.fixture
def worker() -> Iterator[subprocess.Popen[bytes]]:
    """`dramatiq config.worker`, as the supervisor starts it."""
    command = ["-m", "dramatiq", "config.worker", "--processes", "1", "--threads", "2"]
    environment = {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "config.settings.test",
        "NSTARX_DATABASE_ROLE": "engine",
        "DATABASE_ENGINE_URL": database.url("engine"),
        "NSTARX_WORKER_ID": str(uuid.uuid4()),
    }
    with subprocess.Popen([sys.executable, *command, "--queues", "io"], env=environment) as child:
        try:
            yield child
        finally:
            child.terminate()
            child.wait(20)


def test_a_workflow_of_real_nodes_runs_to_its_end(
    acme: Tenant, worker: subprocess.Popen[bytes]
) -> None:
    redis.Redis.from_url(settings.REDIS_BROKER_URL).flushdb()  # PostgreSQL holds the truth.
    with scope.tenant(acme.id, actor=acme.owner):
        drawn = create_workflow(actor=acme.owner, document=GREETING)
        run = start_run(actor=acme.owner, workflow_id=drawn.pk)
    run = finished(acme, run.pk, seconds=40)
    assert (run.state, run.error) == ("SUCCEEDED", None)
    assert run.result == {"hello": {"text": "Hello Ada"}}
    assert types(acme, run.pk)[-1] == "run.succeeded"
    with scope.tenant(acme.id):
        steps = history.steps(run)
    assert [(step.path, step.status) for step in steps] == [
        ("who", "SUCCEEDED"),
        ("hello", "SUCCEEDED"),
    ]
    # The outbox waits for the oldest transaction of the server: a neighbor's test may be long.
    until = time.monotonic() + 60
    entries = 0
    while not entries and time.monotonic() < until:
        with scope.tenant(acme.id):
            entries = UsageEntry.objects.filter(run_id=run.pk).count()
        time.sleep(0.1)
    assert entries == 1, "the ledger hears of the end once"
