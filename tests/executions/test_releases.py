"""Processes of the release before work on the same database: a deployment rolls, nobody stops."""

from __future__ import annotations

import datetime as dt
import json
import time
import uuid
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from django.db import connection

from apps.executions.engine.codec import encode
from apps.executions.engine.history import Event, RunEnded, RunStarted, StepCompleted
from apps.executions.engine.ports import (
    LogSink,
    StepCall,
    StepDone,
    StepOutcome,
    StopSignal,
    Usage,
)
from apps.executions.engine.state import RunStatus
from apps.executions.store.connections import Connection, Connections
from apps.kit.ids import uuid7
from apps.tenancy import scope
from apps.workflows.graph.document import parse
from tests import database
from tests.executions.world import VERSIONS, ScriptedRunner, finished, run_of, start, types, worker
from tests.factories.graphs import a, chain, raw
from tests.factories.tenancy import Tenant

pytestmark = pytest.mark.django_db(transaction=True)

CLAIM = "SELECT item_id, run_id, token, head, path FROM engine_claim_2(%s, 'io', 8, NULL, NULL)"
APPEND = "SELECT engine_append_2(%s, %s, %s, %s, %s, %s, %s, %s, %s::jsonb[], %s::jsonb)"
REGISTER = (
    "INSERT INTO worker (id, host, pid, pools, slots, lease_until)"
    " VALUES (%s, 'old', 1, '{io}', 8, clock_timestamp() + interval '1 minute')"
)


class OldWorker:
    """What a worker of the second release asks of the database, in its words."""

    def __init__(self, connection: Connection, tenant: Tenant) -> None:
        self.sql = connection
        self.tenant = tenant
        self.id = uuid.uuid4()
        connection.execute(REGISTER, (self.id,))

    def claim(self) -> dict[uuid.UUID, tuple[uuid.UUID, int]]:
        rows = self.sql.execute(CLAIM, (self.id,)).fetchall()
        return {run: (token, head) for _, run, token, head, _ in rows}

    def append(
        self,
        run: uuid.UUID,
        held: tuple[uuid.UUID, int],
        events: Sequence[Event],
        change: dict[str, Any],
    ) -> bool:
        rows = [encode(event) for event in events]
        settled = sum(row.type == "step.completed" for row in rows)
        given = (
            *(self.tenant.id, run, *held, settled, [row.type for row in rows]),
            *([row.path for row in rows], [row.attempt for row in rows]),
            *([row.body for row in rows], json.dumps(change)),
        )
        row = self.sql.execute(APPEND, given).fetchone()
        return row is not None and bool(row[0])

    def leave(self) -> None:
        self.sql.execute("SELECT engine_release_1(%s, NULL)", (self.id,))
        self.sql.execute("DELETE FROM worker WHERE id = %s", (self.id,))


@pytest.fixture
def old(acme: Tenant) -> Iterator[OldWorker]:
    held = Connections(database.url("engine"))
    one = OldWorker(held.get(), acme)
    yield one
    one.leave()
    held.close_all()


def completed(path: str) -> StepCompleted:
    return StepCompleted(
        path=path,
        attempt=1,
        outputs={"value": path},
        conditions={},
        usage=Usage(),
        started_at=dt.datetime.now(dt.UTC),
    )


def started_by_old_web(tenant: Tenant, drawn: dict[str, Any]) -> uuid.UUID:
    """Through the start function of the first two releases."""
    run_id, version_id = uuid7(), uuid7()
    VERSIONS.documents[version_id] = parse(drawn)
    facts = {
        "workflow_id": str(uuid7()),
        "version_id": str(version_id),
        "priority": 5,
        "environment_id": str(tenant.environments["DEVELOPMENT"].pk),
        "trigger": "API",
        "environment": "DEVELOPMENT",
        "pool": "io",
        "slots": 1,
    }
    with scope.tenant(tenant.id), connection.cursor() as cursor:
        cursor.execute(
            'SELECT executions_start_1(%s, %s, %s::jsonb, \'{"trigger": "API"}\', 50, 50, 1)',
            [tenant.id, run_id, json.dumps(facts)],
        )
    return run_id


def test_a_run_begun_by_the_old_release_is_ended_by_the_new(acme: Tenant, old: OldWorker) -> None:
    run_id = started_by_old_web(acme, chain(3))
    held = old.claim()[run_id]
    begun: list[Event] = [RunStarted(), completed("n0")]
    assert old.append(run_id, held, begun, {"state": "RUNNING", "started": True, "left": "YIELDED"})
    with worker():
        assert finished(acme, run_id).state == "SUCCEEDED"
    assert types(acme, run_id).count("step.completed n0") == 1


def test_an_old_worker_leaves_alone_what_a_new_process_has_touched(
    acme: Tenant, old: OldWorker
) -> None:
    theirs, ours = started_by_old_web(acme, raw([a("n0")])), start(acme, raw([a("n0")]))
    assert set(old.claim()) == {theirs}, "it may not read what stands in the other's history"
    old.sql.execute("SELECT engine_release_1(%s, NULL)", (old.id,))
    with worker(ScriptedRunner(_slow)):
        until_begun(acme, theirs)
        assert old.claim() == {}
        for run_id in (theirs, ours):
            assert finished(acme, run_id).state == "SUCCEEDED"


def _slow(call: StepCall, stop: StopSignal, logs: LogSink) -> StepOutcome:
    stop.wait(seconds=0.3)
    return StepDone(outputs={"value": 1})


def until_begun(tenant: Tenant, run_id: uuid.UUID) -> None:
    until = time.monotonic() + 20
    while run_of(tenant, run_id).abi == 2:
        assert time.monotonic() < until
        time.sleep(0.01)


def test_a_run_that_an_old_worker_ends_lets_nobody_wait(acme: Tenant, old: OldWorker) -> None:
    run_id = started_by_old_web(acme, raw([a("n0")]))
    events: list[Event] = [RunStarted(), completed("n0"), RunEnded(status=RunStatus.SUCCEEDED)]
    change = {"state": "SUCCEEDED", "started": True, "left": "FINISHED"}
    assert old.append(run_id, old.claim()[run_id], events, change)
    assert run_of(acme, run_id).state == "SUCCEEDED"


def test_old_beats_and_reapers_know_new_workers(acme: Tenant, old: OldWorker) -> None:
    run_id = started_by_old_web(acme, raw([a("n0")]))
    assert run_id in old.claim()
    assert old.sql.execute("SELECT engine_beat_1(%s, 60)", (old.id,)).fetchone() != (None,)
    old.sql.execute("SELECT engine_worker_died_1(%s)", (old.id,))
    reaped = old.sql.execute("SELECT engine_reap_1(60)").fetchall()
    assert reaped == [("io",)]
    with worker():
        assert finished(acme, run_id).state == "SUCCEEDED"


def test_a_worker_of_the_third_release_leaves_alone_what_the_fourth_has_started(
    acme: Tenant, old: OldWorker
) -> None:
    theirs, ours = started_by_old_web(acme, raw([a("n0")])), start(acme, raw([a("n0")]))
    claimed = old.sql.execute(
        "SELECT run_id FROM engine_claim_3(%s, 'io', 8, NULL, NULL)", (old.id,)
    ).fetchall()
    assert [run_id for (run_id,) in claimed] == [theirs]
    old.sql.execute("SELECT engine_release_1(%s, NULL)", (old.id,))
    with worker():
        for run_id in (theirs, ours):
            assert finished(acme, run_id).state == "SUCCEEDED"
