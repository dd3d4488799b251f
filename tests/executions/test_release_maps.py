"""A worker of the fourth release beside chunks that sleep and items that are runs."""

from __future__ import annotations

import itertools
import time
import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from apps.executions.actions import signal_run
from apps.executions.engine.ports import LogSink, StepCall, StepFailed, StepOutcome, StopSignal
from apps.executions.models import MapItem, WorkItem
from apps.executions.store.connections import Connections
from apps.executions.verify import verify_tenant
from apps.tenancy import scope
from tests import database
from tests.executions import test_item_runs, test_maps
from tests.executions.test_item_runs import NEVER, items_of, until
from tests.executions.test_releases import OldWorker, started_by_old_web
from tests.executions.world import ScriptedRunner, finished, worker
from tests.factories.graphs import to
from tests.factories.tenancy import Tenant

pytestmark = pytest.mark.django_db(transaction=True)

RETRY: dict[str, Any] = {"maxAttempts": 2}
BUSY = StepFailed(code="BUSY", message="no", retryable=True, retry_after_seconds=3)


class Fourth(OldWorker):
    """What a worker of the fourth release asks for again and again."""

    def claims(self, *pools: str) -> list[uuid.UUID]:
        claim = "SELECT run_id FROM engine_claim_4(%s, %s, 8, NULL, NULL)"
        found = [self.sql.execute(claim, (self.id, pool)).fetchall() for pool in pools]
        return [run_id for rows in found for (run_id,) in rows]

    def tidies(self) -> None:
        for statement in ("engine_reap_4(60)", "engine_tidy_4()", "engine_timers_1()"):
            self.sql.execute(f"SELECT {statement}")


@pytest.fixture
def fourth(acme: Tenant) -> Iterator[Fourth]:
    held = Connections(database.url("engine"))
    one = Fourth(held.get(), acme)
    yield one
    one.leave()
    held.close_all()


def pools_of_chunks(tenant: Tenant) -> set[str]:
    with scope.tenant(tenant.id):
        return set(WorkItem.objects.filter(kind="chunk").values_list("pool", flat=True))


def test_it_takes_no_chunk_that_sleeps_nor_one_that_is_woken(acme: Tenant, fourth: Fourth) -> None:
    items = test_maps.Items(2, {"concurrency": 1})

    def fails_first(call: StepCall, stop: StopSignal, logs: LogSink) -> StepOutcome:
        if call.path == "rows[1]/one" and call.attempt == 1:
            return BUSY
        return items(call, stop, logs)

    # Its run was begun by the fourth release, and was its own to claim until a fifth had it.
    run_id = started_by_old_web(acme, test_maps.mapped("keyed", retry=RETRY))
    assert fourth.claims("io") == [run_id]
    fourth.sql.execute("SELECT engine_release_1(%s, NULL)", (fourth.id,))
    with worker(ScriptedRunner(fails_first)):
        until(lambda: pools_of_chunks(acme) == {"asleep/io"})
    assert fourth.claims("io", "asleep/io") == []
    fourth.tidies()
    assert pools_of_chunks(acme) == {"asleep/io"}, "whoever tidies up wakes nobody"
    for _ in itertools.count():
        if fourth.sql.execute("SELECT engine_wake_5()").fetchall():
            break
        time.sleep(0.05)
    assert pools_of_chunks(acme) == {"io"}
    assert fourth.claims("io") == []
    with worker(ScriptedRunner(fails_first)):
        assert finished(acme, run_id).state == "SUCCEEDED"
    assert items.after == [[0, 1]]
    assert verify_tenant(acme.id) == []


def test_it_takes_no_run_that_is_an_item_nor_the_chunk_above(acme: Tenant, fourth: Fourth) -> None:
    items = test_item_runs.Items(3, wait=NEVER)
    drawn = test_item_runs.mapped(kind="keyed")
    told, heard = to("ask", "one"), to("ask.payload", "one")
    drawn["connections"] = [heard if one == told else one for one in drawn["connections"]]
    run_id = started_by_old_web(acme, drawn)
    with worker(items.runner()):
        until(lambda: [one.state for one in items_of(acme, run_id)] == ["WAITING"] * 3)
        until(lambda: pools_of_chunks(acme) == {"asleep/io"})
    with scope.tenant(acme.id, actor=acme.owner):
        for one in items_of(acme, run_id):
            signal_run(actor=acme.owner, run_id=one.pk, name="never", payload=1)
    assert fourth.claims("io", "asleep/io") == [], "a signal has made all of them ready"
    fourth.tidies()
    assert pools_of_chunks(acme) == {"asleep/io"}
    with worker(items.runner()):
        assert finished(acme, run_id).state == "SUCCEEDED"
    assert items.after == [[0, 1, 4]]
    with scope.tenant(acme.id):
        assert set(MapItem.objects.values_list("state", flat=True)) == {"done"}
    assert verify_tenant(acme.id) == []
