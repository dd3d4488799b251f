"""An open chunk is told to rest, to go on and to stop: nothing is done twice or begun too late."""

from __future__ import annotations

import datetime as dt
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from apps.executions import crashpoints, retention
from apps.executions.actions import cancel_run, pause_run, resume_run
from apps.executions.engine.ports import (
    LogSink,
    StepCall,
    StepFailed,
    StepOutcome,
    StopSignal,
)
from apps.executions.models import MapChunk, MapItem, WorkItem
from apps.executions.verify import verify_tenant
from apps.executions.worker.maps import watch
from apps.kit.clock import now
from apps.tenancy import limits, scope
from apps.tenancy.limits import Metric
from apps.workflows.graph.mapping import Policy
from tests.executions.test_maps import Items, mapped
from tests.executions.world import (
    ScriptedRunner,
    finished,
    reached,
    run_of,
    start,
    types,
    worker,
)
from tests.factories.tenancy import Tenant

pytestmark = pytest.mark.django_db(transaction=True)

SECONDS = 20.0


def until(happened: Callable[[], Any], *, seconds: float = SECONDS) -> None:
    end = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < end, "it never happened"
        time.sleep(0.02)


def is_at_rest(tenant: Tenant) -> bool:
    with scope.tenant(tenant.id):
        return not WorkItem.objects.exists()


@contextmanager
def held_at(
    items: Items, index: int
) -> Iterator[tuple[ScriptedRunner, threading.Event, threading.Event]]:
    """A runner that stands in that item's step, which `there` says, until the event is set."""
    goes_on, there = threading.Event(), threading.Event()

    def script(call: StepCall, stop: StopSignal, logs: LogSink) -> StepOutcome:
        if call.path == f"rows[{index}]/one":
            there.set()
            assert goes_on.wait(SECONDS)
        return items(call, stop, logs)

    try:
        yield ScriptedRunner(script), there, goes_on
    finally:
        goes_on.set()


def pause(tenant: Tenant, run_id: uuid.UUID) -> None:
    with scope.tenant(tenant.id):
        pause_run(actor=tenant.owner, run_id=run_id)


def resume(tenant: Tenant, run_id: uuid.UUID) -> None:
    with scope.tenant(tenant.id):
        resume_run(actor=tenant.owner, run_id=run_id)


def test_a_paused_map_rests_after_its_current_items(
    acme: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "LOOK_SECONDS", 0.0)
    items = Items(12, {"concurrency": 1, "chunk_size": 6})
    run_id = start(acme, mapped("unsafe"))
    with held_at(items, 2) as (runner, there, goes_on), worker(runner) as loop:
        assert there.wait(SECONDS)
        pause(acme, run_id)
        loop.ring()
        reached(acme, run_id, "PAUSED")
        with scope.tenant(acme.id):
            until(lambda: WorkItem.objects.filter(kind="chunk", has_mail=True).exists())
        goes_on.set()
        until(lambda: is_at_rest(acme))
        assert items.seen == Counter(range(3)), "the current item ended, the next did not begin"
        assert verify_tenant(acme.id) == []
        resume(acme, run_id)
        loop.ring()
        assert finished(acme, run_id).state == "SUCCEEDED"
    assert items.seen == Counter(range(12)), "nothing was done again"
    assert types(acme, run_id).count("chunk.dispatched rows") == 3
    assert verify_tenant(acme.id) == []


def test_a_pause_that_is_taken_back_at_once_harms_nothing(acme: Tenant) -> None:
    items = Items(8, {"concurrency": 1, "chunk_size": 4})
    run_id = start(acme, mapped("unsafe"))
    with held_at(items, 1) as (runner, there, goes_on), worker(runner) as loop:
        assert there.wait(SECONDS)
        pause(acme, run_id)
        loop.ring()
        reached(acme, run_id, "PAUSED")
        resume(acme, run_id)
        loop.ring()
        reached(acme, run_id, "RUNNING")
        goes_on.set()
        assert finished(acme, run_id).state == "SUCCEEDED"
    assert items.seen == Counter(range(8))
    assert verify_tenant(acme.id) == []


def test_an_item_that_rests_keeps_its_attempts(
    acme: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "LOOK_SECONDS", 0.0)
    items = Items(2, {"concurrency": 1, "chunk_size": 2})
    failing, paused = threading.Event(), threading.Event()

    def script(call: StepCall, stop: StopSignal, logs: LogSink) -> StepOutcome:
        outcome = items(call, stop, logs)
        if call.path == "rows[0]/one" and call.attempt < 3:
            failing.set()
            assert paused.wait(SECONDS)
            # Longer than a slice waits itself, and without jitter.
            return StepFailed(code="BUSY", message="later", retryable=True, retry_after_seconds=1.5)
        return outcome

    run_id = start(acme, mapped(retry={"maxAttempts": 3, "backoffSeconds": 1}))
    with worker(ScriptedRunner(script)) as loop:
        try:
            assert failing.wait(SECONDS)
            pause(acme, run_id)
            loop.ring()
            reached(acme, run_id, "PAUSED")
            with scope.tenant(acme.id):
                until(lambda: WorkItem.objects.filter(kind="chunk", has_mail=True).exists())
        finally:
            paused.set()
        until(lambda: is_at_rest(acme))
        with scope.tenant(acme.id):
            assert MapItem.objects.get(idx=0).state == "begun"
        assert items.seen[0] == 1
        resume(acme, run_id)
        loop.ring()
        run = finished(acme, run_id)
    assert run.state == "SUCCEEDED", run.error
    assert items.seen[0] == 3, "three attempts in all, whoever counts them"
    assert verify_tenant(acme.id) == []


def test_a_canceled_run_starts_no_further_item_although_no_bell_rings(acme: Tenant) -> None:
    items = Items(2_000, {"concurrency": 1, "chunk_size": 1_000})

    def slow(call: StepCall, stop: StopSignal, logs: LogSink) -> StepOutcome:
        if call.path.endswith("one"):
            time.sleep(0.02)
        return items(call, stop, logs)

    run_id = start(acme, mapped("keyed"))
    lazy = {"beat_seconds": 30.0, "lease_seconds": 90.0, "trust_seconds": 80.0}
    with worker(ScriptedRunner(slow), settings=lazy):
        until(lambda: len(items.seen) > 10)
        with scope.tenant(acme.id):
            cancel_run(actor=acme.owner, run_id=run_id)
        assert finished(acme, run_id).state == "CANCELED"
        done = len(items.seen)
        time.sleep(0.2)
        assert len(items.seen) == done < 2_000 // 2
    assert run_of(acme, run_id).head
    assert verify_tenant(acme.id) == []


def test_the_item_that_kills_its_workers_is_named_and_no_other(acme: Tenant) -> None:
    # One chunk: what is recorded next must be that item's, or another chunk would die for it.
    items = Items(6, {"policy": Policy.COLLECT, "tolerated": 1, "chunk_size": 6})
    killed = threading.Event()

    def deadly(call: StepCall, stop: StopSignal, logs: LogSink) -> StepOutcome:
        if call.path == "rows[3]/one":
            killed.set()
        return items(call, stop, logs)

    def strike(name: str) -> None:
        if name == "items.begun" and killed.is_set():
            killed.clear()
            raise RuntimeError("as if the worker had died")

    run_id = start(acme, mapped())
    crashpoints.arm(strike)
    try:
        with worker(ScriptedRunner(deadly)):
            assert finished(acme, run_id).state == "SUCCEEDED"
    finally:
        crashpoints.arm(None)
    with scope.tenant(acme.id):
        (row,) = MapItem.objects.of_map(run_id, "rows").failed()
    assert (row.idx, row.error["code"]) == (3, "WORKER_LOST")
    assert items.seen[3] == 4, "one death before anything was done, then three in a row"
    assert verify_tenant(acme.id) == []


def test_items_and_chunks_go_with_their_run(acme: Tenant) -> None:
    run_id = start(acme, mapped())
    with worker(Items(5).runner()):
        assert finished(acme, run_id).state == "SUCCEEDED"
    with scope.tenant(acme.id):
        limits.set_limits({Metric.RETENTION_DAYS: 30})
        assert retention.expire_tenant(at=now() + dt.timedelta(days=29)) == 0
        assert MapItem.objects.count() == 5
        assert retention.expire_tenant(at=now() + dt.timedelta(days=31)) == 1
        assert not MapItem.objects.exists()
        assert not MapChunk.objects.exists()
