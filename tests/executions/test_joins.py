"""What a join needs no longer, on the real database: stopped here, called back, withdrawn."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from django.db import connection

from apps.executions import asks
from apps.executions.engine.ports import (
    LogSink,
    StepCall,
    StepDone,
    StepFailed,
    StepOutcome,
    StepRepeats,
    StepStopped,
    StepWaits,
    StopReason,
    StopSignal,
)
from apps.executions.events import StepAsks, WaitOver
from apps.executions.models import WorkItem
from apps.kit import events
from apps.tenancy import scope
from apps.workflows.graph.declaration import Wait, WaitKind
from tests.executions.world import ScriptedRunner, finished, start, types, worker
from tests.factories.graphs import a, raw, to
from tests.factories.tenancy import Tenant

pytestmark = pytest.mark.django_db(transaction=True)

RUNS, BOTH = {"pools": ["io"]}, {"pools": ["io", "cpu"]}
APPROVAL = Wait(kind=WaitKind.APPROVAL, payload={"title": "Pay?"})


def race(other: dict[str, Any]) -> dict[str, Any]:
    """`quick` and the other branch, of which a join needs one; then a step with an effect."""
    join = {"id": "j", "type": "control.join", "configuration": {"needed": 1}}
    nodes = [a("quick"), other, join, a("after", "keyed")]
    links = [to("quick", "j.branches"), to(other["id"], "j.branches"), to("j", "after")]
    return raw(nodes, links)


def slow(reached: threading.Event) -> ScriptedRunner:
    """`slow` runs until it is stopped; `quick` waits for it to run."""

    def answer(call: StepCall, stop: StopSignal, logs: LogSink) -> StepOutcome:
        if call.path == "slow":
            reached.set()
            return StepStopped(reason=stop.wait(seconds=60) or StopReason.DRAINING)
        if call.path == "quick":
            assert reached.wait(20)
        return StepDone(outputs={"value": call.path})

    return ScriptedRunner(answer)


@pytest.mark.parametrize("fields", [{}, {"resources": {"pool": "cpu"}}], ids=["here", "elsewhere"])
def test_a_branch_that_runs_is_stopped_and_the_rest_goes_on(
    acme: Tenant, fields: dict[str, Any]
) -> None:
    run_id = start(acme, race(a("slow", **fields)))
    with worker(slow(threading.Event()), settings=BOTH) as loop:
        loop.ring()
        assert finished(acme, run_id).state == "SUCCEEDED"
    history = types(acme, run_id)
    assert "step.canceled slow" in history
    assert "step.completed after" in history


def test_a_task_nobody_has_begun_is_taken_back(acme: Tenant) -> None:
    run_id = start(acme, race(a("slow", resources={"pool": "cpu"})))
    with worker(settings=RUNS) as loop:
        loop.ring()
        assert finished(acme, run_id).state == "SUCCEEDED"
    assert "step.canceled slow" in types(acme, run_id)
    with scope.tenant(acme.id):
        assert not WorkItem.objects.exists()


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str | None]]:
    """What the rest of the product hears of waits."""
    heard: list[tuple[str, str | None]] = []
    for kind in (StepAsks, WaitOver):
        monkeypatch.setitem(
            events._receivers, kind, [lambda e: heard.append((type(e).__name__, e.path))]
        )
    return heard


def ask_all(tenant: Tenant) -> None:
    with scope.tenant(tenant.id):
        asks.ask_due()


def ask_beside(tenant: Tenant) -> None:
    """The same, on the thread of a step."""
    try:
        ask_all(tenant)
    finally:
        connection.close()


def test_a_question_nobody_needs_answered_is_withdrawn(
    acme: Tenant, told: list[tuple[str, str | None]]
) -> None:
    def answer(call: StepCall, stop: StopSignal, logs: LogSink) -> StepOutcome:
        if call.path == "asks":
            return StepWaits(wait=APPROVAL)
        if call.path == "quick":
            assert stop.wait(seconds=0.3) is None
            ask_beside(acme)
        return StepDone(outputs={"value": call.path})

    run_id = start(acme, race(a("asks", "keyed")))
    with worker(ScriptedRunner(answer)) as loop:
        loop.ring()
        assert finished(acme, run_id).state == "SUCCEEDED"
    ask_all(acme)
    assert told[-1] == ("WaitOver", "asks")
    assert told.count(("WaitOver", "asks")) == 1


@pytest.mark.parametrize("heard", [True, False])
def test_a_body_that_breaks_withdraws_what_it_asked(
    acme: Tenant, told: list[tuple[str, str | None]], heard: bool
) -> None:
    def answer(call: StepCall, stop: StopSignal, logs: LogSink) -> StepOutcome:
        if call.path == "c":
            return StepRepeats(values={})
        if call.node.id == "asks":
            return StepWaits(wait=APPROVAL)
        if call.node.id == "breaks":
            if heard:
                assert stop.wait(seconds=0.3) is None
                ask_beside(acme)
            return StepFailed(code="NO", message="no")
        return StepDone(outputs={"value": call.path})

    nodes = [
        a("c", "box", onError="continue"),
        a("asks", "keyed", parentId="c"),
        a("breaks", parentId="c"),
        a("apart"),
        a("last", "keyed"),
    ]
    run_id = start(acme, raw(nodes, [to("apart", "last")]))
    with worker(ScriptedRunner(answer)) as loop:
        loop.ring()
        assert finished(acme, run_id).state == "PARTIAL"
    ask_all(acme)
    asked, over = ("StepAsks", "c[0]/asks"), ("WaitOver", "c[0]/asks")
    assert told in ([asked, over], [over])
