"""An example workflow through the product's own worker process: engine, runner, store, state."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from django.conf import settings
from django.db import connection

from apps.artifacts.contents import open_artifact
from apps.executions.actions import start_run
from apps.tenancy import scope
from apps.workflows.actions import create_workflow
from tests import database
from tests.executions.world import finished
from tests.factories.tenancy import Tenant
from tests.nodes.walk import EXAMPLES

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def _worker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """`dramatiq config.worker`, as the supervisor starts it."""
    monkeypatch.setattr(settings, "DATA_DIR", tmp_path)
    command = ["-m", "dramatiq", "config.worker", "--processes", "1", "--threads", "2"]
    environment = {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "config.settings.test",
        "NSTARX_DATABASE_ROLE": "engine",
        "NSTARX_DATA_DIR": str(tmp_path),
        "DATABASE_ENGINE_URL": database.url("engine"),
        "NSTARX_WORKER_ID": str(uuid.uuid4()),
    }
    with subprocess.Popen([sys.executable, *command, "--queues", "io"], env=environment) as child:
        yield
        child.terminate()
        child.wait(30)


@pytest.mark.usefixtures("_worker")
def test_the_cars_are_summarized_stored_and_published(acme: Tenant) -> None:
    document = json.loads((EXAMPLES / "cars_etl.json").read_text(encoding="utf-8"))

    with scope.tenant(acme.id, actor=acme.owner):
        drawn = create_workflow(actor=acme.owner, document=document)
        run = start_run(actor=acme.owner, workflow_id=drawn.pk)
    ended = finished(acme, run.pk, seconds=90)

    assert (ended.state, ended.error) == ("SUCCEEDED", None)
    result: Any = ended.result
    stored = result["store"]["file"]
    with scope.tenant(acme.id):
        with open_artifact(stored["$artifact"]) as stream:
            summary = pl.read_parquet(stream.read())
        with connection.cursor() as cursor:
            cursor.execute("SELECT value FROM node_state WHERE key = 'table/cars_by_origin'")
            (published,) = cursor.fetchone()
    assert summary["cars"].sum() == 392
    reference = published if isinstance(published, dict) else json.loads(published)
    assert reference["schema"]["rows"] == summary.height
