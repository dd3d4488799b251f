"""Real runs for tests: start one by SQL, work with an engine loop in this process or another."""

from __future__ import annotations

import datetime as dt
import json
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import psycopg
from django.db import connection

from apps.executions.engine.plan import compile_plan
from apps.executions.engine.ports import (
    LogLevel,
    LogSink,
    StepCall,
    StepDone,
    StepOutcome,
    StepRunner,
    StopSignal,
)
from apps.executions.engine.slice_ports import Claim
from apps.executions.models import Run, RunEvent
from apps.executions.worker.loop import EngineLoop
from apps.executions.worker.settings import Hooks, LoopSettings
from apps.kit.ids import uuid7
from apps.tenancy import scope
from apps.workflows.graph.catalogue import Catalogue
from apps.workflows.graph.document import Document, parse
from tests import database
from tests.factories.graphs import CATALOGUE, a, raw
from tests.factories.tenancy import Tenant

POOL = "io"


@dataclass
class ScriptedRunner:
    """Answers as the script says and remembers what it was asked."""

    script: Callable[[StepCall, StopSignal, LogSink], StepOutcome] | None = None
    calls: list[tuple[str, int]] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def ready(
        self, call: StepCall, *, stop: StopSignal, logs: LogSink
    ) -> Callable[[], StepOutcome]:
        return lambda: self.run(call, stop=stop, logs=logs)

    def run(self, call: StepCall, *, stop: StopSignal, logs: LogSink) -> StepOutcome:
        with self.lock:
            self.calls.append((call.path, call.attempt))
        if self.script is not None:
            return self.script(call, stop, logs)
        return StepDone(outputs={"value": call.path})

    def close(self) -> None:
        pass


@dataclass
class Versions:
    """The documents of the versions that a test made."""

    documents: dict[uuid.UUID, Document] = field(default_factory=dict)

    def __call__(self, claim: Claim) -> Document:
        return self.documents[claim.version_id]


VERSIONS = Versions()


def start(
    tenant: Tenant,
    drawn: Mapping[str, Any],
    *,
    timeout_seconds: float | None = None,
    weight: int = 1,
    catalogue: Catalogue = CATALOGUE,
    **facts: Any,
) -> uuid.UUID:
    """T0 through the SQL function, as start_run does, without the rest of the product."""
    document = parse(dict(drawn))
    version_id, run_id = uuid7(), uuid7()
    VERSIONS.documents[version_id] = document
    plan = compile_plan(document, catalogue)
    values = {
        "workflow_id": str(uuid7()),
        "version_id": str(version_id),
        "environment_id": str(tenant.environments["DEVELOPMENT"].pk),
        "environment": "DEVELOPMENT",
        "trigger": "API",
        "priority": 5,
        "pool": POOL,
        "slots": plan.slots,
        "timeout_seconds": timeout_seconds,
        **facts,
    }
    with scope.tenant(tenant.id), connection.cursor() as cursor:
        cursor.execute(
            "SELECT executions_start_7(%s, %s, %s::jsonb, %s::jsonb, %s, %s, %s)",
            [tenant.id, run_id, json.dumps(values), '{"trigger": "API"}', 50, 50, weight],
        )
    return run_id


@contextmanager
def worker(
    runner: StepRunner | None = None,
    *,
    settings: Mapping[str, Any] | None = None,
    documents: Callable[[Claim], Document] = VERSIONS,
    catalogue: Catalogue = CATALOGUE,
    **hooks: Any,
) -> Iterator[EngineLoop]:
    """An engine loop in this process, as the engine's role; nothing of it goes on behind it."""
    loop = EngineLoop(
        LoopSettings(conninfo=database.url("engine"), **{"pools": [POOL], **(settings or {})}),
        runner=runner or ScriptedRunner(),
        documents=documents,
        catalogue=catalogue,
        hooks=Hooks(**hooks),
    )
    loop.start()
    try:
        yield loop
    finally:
        loop.drain(seconds=5)
        held = loop._connections
        with held._lock:
            backends = [one.info.backend_pid for one in held._open if not one.closed]
        loop.stop()
        gone(backends)


def gone(backends: list[int], *, seconds: float = 30) -> None:
    """Wait for their end: a statement whose thread was left behind outlives its worker."""
    until = time.monotonic() + seconds
    query = "SELECT pid FROM pg_stat_activity WHERE pid = ANY (%s)"
    # Of its own: the caller's thread may be one that never closes Django's.
    with psycopg.connect(database.url("engine"), autocommit=True) as direct:
        while going := direct.execute(query, [backends]).fetchall():
            assert time.monotonic() < until, f"still at work: {going}"
            time.sleep(0.02)


def run_of(tenant: Tenant, run_id: uuid.UUID) -> Run:
    """The row now."""
    with scope.tenant(tenant.id):
        run: Run = Run.objects.get(pk=run_id)
    return run


def finished(tenant: Tenant, run_id: uuid.UUID, *, seconds: float = 20) -> Run:
    """The row when the run has ended; fails when it does not in time."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        run = run_of(tenant, run_id)
        if run.finished_at is not None:
            return run
        time.sleep(0.01)
    raise AssertionError(f"the run is {run.state} at {run.head}: {types(tenant, run_id)}")


def reached(tenant: Tenant, run_id: uuid.UUID, state: str, *, seconds: float = 20) -> Run:
    """The row when the run is in that state; fails when it does not come to it in time."""
    until = time.monotonic() + seconds
    while (run := run_of(tenant, run_id)).state != state:
        assert time.monotonic() < until, f"{run.state} at {run.head}: {types(tenant, run_id)}"
        time.sleep(0.01)
    return run


def types(tenant: Tenant, run_id: uuid.UUID) -> list[str]:
    """The history in short: "step.completed n0"."""
    with scope.tenant(tenant.id):
        events = list(RunEvent.objects.filter(run_id=run_id).order_by("seq"))
    assert [event.seq for event in events] == list(range(1, len(events) + 1))
    return [f"{event.type} {event.path or ''}".strip() for event in events]


class Silent:
    """A sink that keeps nothing."""

    def log(self, message: str, *, level: LogLevel, fields: Mapping[str, Any]) -> None:
        pass

    def metric(self, name: str, *, value: float) -> None:
        pass

    def progress(self, *, done: int, total: int | None) -> None:
        pass


def call_of(path: str, *, attempt: int = 1) -> StepCall:
    """A call of a pure step, for what runs steps."""
    step = compile_plan(parse(raw([a(path)])), CATALOGUE).step(path)
    now = dt.datetime.now(dt.UTC)
    nobody = uuid.UUID(int=0)
    return StepCall(
        tenant_id=nobody,
        run_id=nobody,
        lineage_id=nobody,
        workflow_id=nobody,
        environment="DEVELOPMENT",
        environment_id=nobody,
        node=step.node,
        node_type=step.node_type,
        path=path,
        attempt=attempt,
        generation=1,
        inputs={},
        parameters={},
        variables={},
        upstream={},
        outgoing=(),
        started_at=now,
        deadline_at=now + dt.timedelta(seconds=60),
        fence=nobody,
    )
