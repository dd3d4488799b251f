"""What watchers get: hints after the commit, history without a gap, logs of their own sequence."""

from __future__ import annotations

import asyncio
import time
import uuid
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from channels.layers import get_channel_layer
from django.db import connection
from django.test.utils import CaptureQueriesContext

from apps.billing.models import UsageEntry
from apps.executions import history, live, relay
from apps.executions.engine.ports import (
    LogLevel,
    LogSink,
    StepCall,
    StepDone,
    StepFailed,
    StepOutcome,
    StopSignal,
)
from apps.executions.engine.state import StepStatus
from apps.executions.events import RunFinished
from apps.executions.models import LogLine, OutboxEntry
from apps.executions.worker.logs import ATTEMPT_BYTES
from apps.kit import events
from apps.tenancy import scope
from tests.executions.world import ScriptedRunner, finished, start, worker
from tests.factories.graphs import a, chain, raw, to
from tests.factories.tenancy import Tenant

pytestmark = pytest.mark.django_db(transaction=True)


def test_watchers_are_told_of_the_last_event(acme: Tenant) -> None:
    run_id = start(acme, chain(3, "keyed"))
    announcer = live.Announcer()

    async def watch() -> list[int]:
        layer: Any = get_channel_layer()
        channel = await layer.new_channel()
        await layer.group_add(live.group_of(run_id), channel)
        heads: list[int] = []
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(None, work)
        while not heads or heads[-1] < 6:
            message = await asyncio.wait_for(layer.receive(channel), 10)
            assert message["run"] == str(run_id)
            heads.append(message["head"])
        await layer.group_discard(live.group_of(run_id), channel)
        return heads

    def work() -> None:
        with worker(tell=announcer.announce) as engine:
            engine.ring()
            time.sleep(1)

    heads = async_to_sync(watch)()
    announcer.close()
    assert heads == sorted(heads)
    with scope.tenant(acme.id):
        seen = history.events_after(run_id, 0)
        rest = history.events_after(run_id, 4)
    assert [view.seq for view in seen] == list(range(1, heads[-1] + 1))
    assert [view.seq for view in rest] == list(range(5, heads[-1] + 1))
    assert [view.is_last for view in seen] == [False] * (len(seen) - 1) + [True]


def test_many_hints_of_one_run_become_a_few() -> None:
    announcer = live.Announcer()
    run_id = uuid.uuid4()

    async def watch() -> list[int]:
        layer: Any = get_channel_layer()
        channel = await layer.new_channel()
        await layer.group_add(live.group_of(run_id), channel)
        for head in range(1, 501):
            announcer.announce(run_id, head)
            await asyncio.sleep(0.001)
        heads: list[int] = []
        while not heads or heads[-1] < 500:
            heads.append((await asyncio.wait_for(layer.receive(channel), 10))["head"])
        return heads

    heads = async_to_sync(watch)()
    announcer.close()
    assert heads == sorted(heads)
    assert len(heads) < 50


def test_steps_are_the_fold_of_the_history(acme: Tenant) -> None:
    nodes = [
        a("a", retry={"maxAttempts": 2, "backoffSeconds": 0}),
        a("b", disabled=True),
        a("c", onError="continue"),
        a("d"),
    ]
    run_id = start(acme, raw(nodes, [to("a", "d"), to("a", "c")]))

    def answer(call: StepCall, stop: StopSignal, logs: LogSink) -> StepOutcome:
        if call.path == "c" or (call.path == "a" and call.attempt == 1):
            return StepFailed(code="NO", message="no", retryable=True)
        return StepDone(outputs={"value": 1})

    with worker(ScriptedRunner(answer)) as loop:
        loop.ring()
        finished(acme, run_id)
    with scope.tenant(acme.id):
        views = history.step_views(history.all_events(run_id), names=["a", "b", "c", "d", "e"])
    found = {view.path: view for view in views}
    assert list(found) == ["a", "b", "c", "d", "e"]
    assert {path: view.status for path, view in found.items()} == {
        "a": StepStatus.SUCCEEDED,
        "b": StepStatus.SKIPPED,
        "c": StepStatus.FAILED,
        "d": StepStatus.SUCCEEDED,
        "e": StepStatus.CANCELED,
    }
    assert (found["a"].attempt, found["a"].error) == (2, None)
    assert found["a"].duration is not None
    assert found["b"].skip_reason == "DISABLED"
    assert (found["c"].error or {})["code"] == "NO"
    assert found["d"].outputs == {"value": 1}


def test_what_steps_write_is_kept_in_order_and_capped(acme: Tenant) -> None:
    run_id = start(acme, chain(1))

    def talk(call: StepCall, stop: StopSignal, logs: LogSink) -> StepOutcome:
        logs.log("first\x00", level=LogLevel.INFO, fields={"n": 1})
        logs.metric("rows", value=3.5)
        logs.progress(done=1, total=2)
        logs.progress(done=2, total=2)
        for _ in range(200):
            logs.log("x" * 8_000, level=LogLevel.DEBUG, fields={})
        logs.log("never", level=LogLevel.ERROR, fields={"bad": object()})  # type: ignore[dict-item]
        return StepDone(outputs={})

    with worker(ScriptedRunner(talk)) as loop:
        loop.ring()
        finished(acme, run_id)
    with scope.tenant(acme.id):
        lines = list(history.logs(run_id))
        errors = list(history.logs(run_id, path="n0", levels=["WARN"]))
    assert [line.id for line in lines] == sorted(line.id for line in lines)
    assert (lines[0].kind, lines[0].message, lines[0].fields) == ("log", "first", {"n": 1})
    assert (lines[1].kind, lines[1].fields) == ("metric", {"value": 3.5})
    progress = [line.fields for line in lines if line.kind == "progress"]
    assert progress[-1] == {"done": 2, "total": 2}
    assert sum(len(line.message) for line in lines) <= ATTEMPT_BYTES + 100
    assert len(errors) == 1, "one notice, then nothing"
    assert isinstance(lines[0], LogLine)


def _due(count: int) -> list[Any]:
    """What is due, once nothing older can appear.

    The watermark is the whole server's: a transaction of another test process holds it back.
    """
    until = time.monotonic() + 120
    while len(found := relay._due()) < count and time.monotonic() < until:
        time.sleep(0.05)
    return found


def test_the_end_of_a_run_is_announced_once(acme: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    heard: list[RunFinished] = []
    monkeypatch.setitem(
        events._receivers, RunFinished, [*events._receivers[RunFinished], heard.append]
    )
    run_id = start(acme, chain(3))
    with worker() as loop:
        loop.ring()
        finished(acme, run_id)
    with scope.tenant(acme.id):
        # As the web's role only this tenant's entries are seen, inside its scope.
        kinds = list(OutboxEntry.objects.order_by("id").values_list("kind", flat=True))
        assert kinds == ["run.finished"], "nobody reacts to a beginning"
        due = _due(1)
        for entry in due:
            assert relay._announce([entry]) == 1
            assert relay._announce([entry]) == 0
        assert not OutboxEntry.objects.exists()
        assert UsageEntry.objects.filter(run_id=run_id).count() == 1
    assert [(event.run_id, event.state, event.steps) for event in heard] == [
        (run_id, "SUCCEEDED", 3)
    ]


def test_an_announcement_that_fails_is_tried_again_in_order(
    acme: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(event: Any) -> None:
        raise RuntimeError("the ledger is out of order")

    monkeypatch.setitem(events._receivers, RunFinished, [refuse])
    run_id = start(acme, chain(1))
    with worker() as loop:
        loop.ring()
        finished(acme, run_id)
    with scope.tenant(acme.id):
        assert relay._announce(_due(1)) == 0
        entry = OutboxEntry.objects.get()
        assert (entry.kind, entry.tries) == ("run.finished", 1)
        assert relay._due() == []


def test_announcements_of_a_tenant_share_a_transaction(acme: Tenant) -> None:
    with worker() as loop:
        for run_id in [start(acme, chain(1)) for _ in range(4)]:
            loop.ring()
            finished(acme, run_id)
    with scope.tenant(acme.id):
        due = _due(4)
        with CaptureQueriesContext(connection) as asked:
            assert relay._announce(due) == 4
    statements = [one["sql"] for one in asked.captured_queries]
    assert sum("INSERT" in one for one in statements) == 1, "the ledger's entries together"
    # A savepoint around all, its time to stand still, taking, reading the runs, the ledger.
    assert len(statements) == 2 + 4, statements
