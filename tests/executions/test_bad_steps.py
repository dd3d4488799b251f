"""Steps that crash, eat, spin or never return, in real processes: the run goes on, typed."""

from __future__ import annotations

import subprocess
import uuid
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, TypeAlias

import pytest
import redis
from django.conf import settings

from apps.executions import history
from apps.executions.actions import start_run
from apps.executions.engine.codec import decode
from apps.executions.engine.history import AttemptFailed, StepFailed
from apps.executions.models import Run
from apps.executions.runner.local import LocalRunner
from apps.executions.runner.process import battery
from apps.tenancy import scope
from apps.workflows.actions import create_workflow
from apps.workflows.graph import catalogue
from apps.workflows.graph.catalogue import Catalogue
from tests.executions.bad_nodes import TYPES
from tests.executions.processes import product
from tests.executions.world import finished, start, types, worker
from tests.factories.graphs import CATALOGUE, a, raw, to
from tests.factories.tenancy import Tenant
from tests.nodes.confined import needs_walls
from tests.nodes.hostile_nodes import WORDS

Worker: TypeAlias = AbstractContextManager[subprocess.Popen[bytes]]

pytestmark = pytest.mark.django_db(transaction=True)

BOTH = Catalogue((*CATALOGUE.all_types(), *TYPES))


def bad(node_id: str, kind: str, how: str, **fields: Any) -> dict[str, Any]:
    configuration = {"how": how, "worker": fields.pop("worker", "")}
    return {"id": node_id, "type": f"bad.{kind}", "configuration": configuration, **fields}


def stranger(attack: str, **told: Any) -> dict[str, Any]:
    configuration = {"attack": attack, **told}
    return {
        "id": "stranger",
        "type": "hostile.sandbox",
        "configuration": configuration,
        "timeoutSeconds": 4,
    }


def failures(tenant: Tenant, run_id: uuid.UUID) -> list[AttemptFailed | StepFailed]:
    """What history says of the attempts that failed."""
    with scope.tenant(tenant.id):
        rows = history.all_events(run_id)
        events = [decode(r.type, path=r.path, attempt=r.attempt, body=r.body or {}) for r in rows]
    return [one for one in events if isinstance(one, AttemptFailed | StepFailed)]


@pytest.mark.parametrize("kind", ["process", pytest.param("sandbox", marks=needs_walls)])
@pytest.mark.parametrize(
    ("how", "code", "fields"),
    [
        ("segfault", "PROCESS_DIED", {}),
        ("eat", "MEMORY_EXCEEDED", {"resources": {"memory": "80Mi"}}),
        ("spin", "CPU_EXCEEDED", {"resources": {"cpu": "10m"}, "timeoutSeconds": 60}),
        ("never", "STEP_TIMEOUT", {"timeoutSeconds": 1}),
        ("deaf", "STEP_TIMEOUT", {"timeoutSeconds": 2}),
    ],
)
def test_a_process_that_goes_wrong_harms_nobody_else(
    acme: Tenant, kind: str, how: str, code: str, fields: dict[str, Any]
) -> None:
    nodes = [
        a("before", "keyed"),
        bad("bad", kind, how, onError="route", **fields),
        bad("after", kind, "well"),
        bad("beside", kind, "well"),
    ]
    links = [to("before", "bad"), to("bad.error", "after"), to("before", "beside")]
    run_id = start(acme, raw(nodes, links), catalogue=BOTH)
    places = {"pools": ["io", "cpu", "sandbox"]}
    with worker(LocalRunner(), settings=places, catalogue=BOTH):
        run = finished(acme, run_id, seconds=60)
    assert (run.state, run.error) == ("SUCCEEDED", None)
    told = types(acme, run_id)
    assert told.count("step.failed bad") == 1
    assert told.count("step.completed after") == told.count("step.completed beside") == 1
    (failed,) = failures(acme, run_id)
    assert failed.failure.code == code
    if how in ("eat", "spin"):
        assert failed.usage.peak_memory_bytes > 0
        assert failed.usage.cpu_seconds > 0


@pytest.mark.usefixtures("_known")
@needs_walls
def test_a_stranger_finds_no_way_out_of_the_products_worker(acme: Tenant, tmp_path: Path) -> None:
    victim = tmp_path / "of another tenant"
    victim.write_text("private")
    told = {"attack": "", "worker": 1, "victim": str(victim)}
    document = {
        "schemaVersion": 1,
        "name": "Stranger",
        "type": "dataPipeline",
        "nodes": [{"id": "stranger", "type": "hostile.sandbox", "configuration": told}],
        "connections": [],
    }
    with scope.tenant(acme.id, actor=acme.owner):
        drawn = create_workflow(actor=acme.owner, document=document)
        run_id = start_run(actor=acme.owner, workflow_id=drawn.pk).pk
    with bad_product(str(uuid.uuid4())):
        run = finished(acme, run_id, seconds=60)
    assert (run.state, run.error) == ("SUCCEEDED", None)
    assert run.result == {"stranger": {"value": []}}
    assert victim.read_text() == "private"
    assert "step.dispatched stranger" in types(acme, run_id)


@needs_walls
def test_whatever_a_stranger_says_its_run_ends(acme: Tenant) -> None:
    runs = {said: start(acme, raw([stranger(said)]), catalogue=BOTH) for said in sorted(WORDS)}
    with worker(LocalRunner(), settings={"pools": ["io", "sandbox"]}, catalogue=BOTH):
        ended = {said: finished(acme, run_id, seconds=90) for said, run_id in runs.items()}
    codes = {said: (run.error or {}).get("code") for said, run in ended.items()}
    ours = {"RUNNER_FAILED", "WORKER_LOST"}
    assert {said: code for said, code in codes.items() if code in ours} == {}


def test_where_nothing_can_be_confined_the_step_fails_and_says_why(
    acme: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(battery, "_verdicts", ["this kernel has no Landlock"])
    run_id = start(acme, raw([bad("bad", "sandbox", "well")]), catalogue=BOTH)
    with worker(LocalRunner(), settings={"pools": ["io", "sandbox"]}, catalogue=BOTH):
        run = finished(acme, run_id)
    assert run.state == "FAILED"
    (failed,) = failures(acme, run_id)
    assert failed.failure.code == "SANDBOX_UNAVAILABLE"
    assert "this kernel has no Landlock" in failed.failure.message


@pytest.fixture
def _known() -> Iterator[None]:
    """The bad types belong to this installation."""
    for one in TYPES:
        catalogue.register(one)
    yield
    for one in TYPES:
        del catalogue.INSTALLED._by_key[one.key]


def bad_product(worker_id: str) -> Worker:
    """The product's worker with the bad types."""
    return product(module="tests.executions.bad_worker", worker_id=worker_id)


@pytest.mark.usefixtures("_known")
@pytest.mark.parametrize("kind", ["thread", "house"])
def test_a_thread_that_never_returns_costs_its_process_and_not_its_run(
    acme: Tenant, kind: str
) -> None:
    """A handler of others has a thread of its own, one of the house that of the engine."""
    redis.Redis.from_url(settings.REDIS_BROKER_URL).flushdb()  # PostgreSQL holds the truth.
    first, second = str(uuid.uuid4()), str(uuid.uuid4())
    retry = {"maxAttempts": 50, "backoffSeconds": 0}
    stuck = bad("bad", kind, "never", worker=first, timeoutSeconds=1, retry=retry)
    document = {
        "schemaVersion": 1,
        "name": "Stuck",
        "type": "dataPipeline",
        "nodes": [stuck, bad("after", "thread", "well")],
        "connections": [to("bad", "after")],
    }
    with scope.tenant(acme.id, actor=acme.owner):
        drawn = create_workflow(actor=acme.owner, document=document)
        run_id = start_run(actor=acme.owner, workflow_id=drawn.pk).pk
    with bad_product(first) as child:
        # Nobody tells it to: it ends because a thread of it cannot be ended.
        child.wait(90)
        with scope.tenant(acme.id):
            assert not Run.objects.get(pk=run_id).status.is_terminal
    with bad_product(second):
        run = finished(acme, run_id, seconds=60)
    assert (run.state, run.result) == ("SUCCEEDED", {"after": {"value": "well"}})
    failed = failures(acme, run_id)
    assert failed
    assert {one.failure.code for one in failed} == {"STEP_TIMEOUT"}
    assert types(acme, run_id).count("step.completed bad") == 1
