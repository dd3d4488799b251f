"""The product's worker process is asked to stop: what runs ends, the rest goes back uncounted."""

from __future__ import annotations

import signal
import time

import pytest

from apps.executions.actions import start_run
from apps.executions.store.connections import Connections
from apps.tenancy import scope
from apps.workflows.actions import create_workflow
from tests import database
from tests.executions.processes import product
from tests.executions.world import finished, types
from tests.factories.tenancy import Tenant

pytestmark = pytest.mark.django_db(transaction=True)

BURN = "n = 0\nwhile n < 3000000:\n    n = n + 1\nresult = n"
WORK = {
    "schemaVersion": 1,
    "name": "Work",
    "type": "dataPipeline",
    "nodes": [
        {"id": name, "type": "logic.python", "configuration": {"source": BURN}}
        for name in ("first", "second", "third")
    ],
    "connections": [
        {"id": "a", "source": "first", "target": "second"},
        {"id": "b", "source": "second", "target": "third"},
    ],
}


def test_a_worker_that_is_asked_to_stop_gives_back_what_it_has_not_begun(acme: Tenant) -> None:
    with scope.tenant(acme.id, actor=acme.owner):
        drawn = create_workflow(actor=acme.owner, document=WORK)
        run = start_run(actor=acme.owner, workflow_id=drawn.pk)
    engine = Connections(database.url("engine"))
    with product() as child:
        until = time.monotonic() + 60
        while "run.started" not in types(acme, run.pk) and time.monotonic() < until:
            time.sleep(0.02)
        child.send_signal(signal.SIGTERM)
        assert child.wait(30) == 0
    held = engine.get().execute("SELECT worker_id, crashes FROM work_item").fetchall()
    assert held in ([], [(None, 0)]), "free, and no death was counted"
    assert engine.get().execute("SELECT FROM worker").fetchall() == [], "it has left"
    engine.close_all()
    with product():
        assert finished(acme, run.pk, seconds=90).state == "SUCCEEDED"
    assert types(acme, run.pk).count("step.completed first") == 1
