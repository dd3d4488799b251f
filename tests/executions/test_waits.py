"""Steps that wait, on the real database: what is asked, what answers, what it costs meanwhile."""

from __future__ import annotations

import datetime as dt
import time
import uuid
from typing import Any

import pytest

from apps.executions import asks
from apps.executions.actions import answer_step
from apps.executions.engine.ports import (
    LogSink,
    StepCall,
    StepDone,
    StepOutcome,
    StepWaits,
    StopSignal,
)
from apps.executions.engine.wait_events import StepAnswer
from apps.executions.events import StepAsks, WaitOver
from apps.executions.models import Ask, Timer, WorkItem
from apps.kit import events
from apps.tenancy import scope
from apps.workflows.graph.declaration import Wait, WaitKind
from tests.executions.world import ScriptedRunner, finished, run_of, start, types, worker
from tests.factories.graphs import a, raw, to
from tests.factories.tenancy import Tenant

pytestmark = pytest.mark.django_db(transaction=True)

APPROVAL = Wait(kind=WaitKind.APPROVAL, payload={"title": "Pay?"})


def waits(wait: Wait) -> ScriptedRunner:
    """`a` waits, the others say their name."""

    def script(call: StepCall, stop: StopSignal, logs: LogSink) -> StepOutcome:
        if call.path == "a":
            return StepWaits(wait=wait)
        return StepDone(outputs={"value": call.path})

    return ScriptedRunner(script)


def pair(**fields: Any) -> dict[str, Any]:
    return raw([a("a", **fields), a("b", "keyed")], [to("a", "b")])


def parked(tenant: Tenant, run_id: uuid.UUID, state: str = "WAITING", *, head: int = 0) -> None:
    """Until the run is in that state, so far at least, and has no item."""
    until = time.monotonic() + 20
    while time.monotonic() < until:
        with scope.tenant(tenant.id):
            items = WorkItem.objects.filter(run_id=run_id).exists()
        run = run_of(tenant, run_id)
        if run.state == state and run.head >= head and not items:
            return
        time.sleep(0.01)
    raise AssertionError(f"{run_of(tenant, run_id).state}: {types(tenant, run_id)}")


def answer(tenant: Tenant, run_id: uuid.UUID, value: object, *, attempt: int = 1) -> None:
    with scope.tenant(tenant.id):
        outcome = StepDone(outputs={"value": value})  # type: ignore[dict-item]
        said = StepAnswer(path="a", attempt=attempt, outcome=outcome)
        answer_step(run_id=run_id, answer=said)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[StepAsks | WaitOver]:
    """What the rest of the product hears."""
    heard: list[StepAsks | WaitOver] = []
    for kind in (StepAsks, WaitOver):
        monkeypatch.setitem(events._receivers, kind, [heard.append])
    return heard


def test_a_timer_holds_nothing_and_fires(acme: Tenant) -> None:
    run_id = start(acme, pair())
    with worker(waits(Wait(kind=WaitKind.TIMER, seconds=2.0, due={"value": 1}))) as loop:
        loop.ring()
        parked(acme, run_id)
        with scope.tenant(acme.id):
            timer = Timer.objects.get(run_id=run_id)
        assert timer.fire_at > run_of(acme, run_id).created_at + dt.timedelta(seconds=1)
        assert finished(acme, run_id).state == "SUCCEEDED"
    assert types(acme, run_id)[2:] == [
        "step.waiting a",
        "step.completed a",
        "step.completed b",
        "run.succeeded",
    ]


def test_what_a_step_waits_for_is_asked_exactly_once(
    acme: Tenant, asked: list[StepAsks | WaitOver]
) -> None:
    run_id = start(acme, pair())
    with worker(waits(APPROVAL)) as loop:
        loop.ring()
        parked(acme, run_id)
        with scope.tenant(acme.id):
            assert Ask.objects.get(run_id=run_id).kind == "step.waiting"
            assert asks.ask_due() == 1
            assert asks.ask_due() == 0
        (event,) = asked
        assert isinstance(event, StepAsks)
        assert (event.run_id, event.path, event.attempt) == (run_id, "a", 1)
        assert event.wait == APPROVAL
        answer(acme, run_id, {"by": "Ada"})
        answer(acme, run_id, {"by": "Bob"})
        assert finished(acme, run_id).state == "SUCCEEDED"
    answer(acme, run_id, {"by": "Eve"})


def test_an_ask_that_fails_is_tried_again_later(
    acme: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(event: object) -> None:
        raise RuntimeError("nobody is there")

    monkeypatch.setitem(events._receivers, StepAsks, [refuse])
    run_id = start(acme, pair())
    with worker(waits(APPROVAL)) as loop:
        loop.ring()
        parked(acme, run_id)
    with scope.tenant(acme.id):
        assert asks.ask_due() == 0
        assert Ask.objects.get(run_id=run_id).tries == 1
        assert asks.ask_due() == 0
        assert Ask.objects.get(run_id=run_id).tries == 1


def test_who_answers_before_being_asked_is_not_asked(
    acme: Tenant, asked: list[StepAsks | WaitOver]
) -> None:
    run_id = start(acme, pair())
    with worker(waits(APPROVAL)) as loop:
        loop.ring()
        parked(acme, run_id)
        answer(acme, run_id, 1)
        loop.ring()
        finished(acme, run_id)
    with scope.tenant(acme.id):
        assert asks.ask_due() == 0
        assert not Ask.objects.exists()
    assert asked == []


def test_whoever_was_asked_hears_that_the_time_is_over(
    acme: Tenant, asked: list[StepAsks | WaitOver]
) -> None:
    wait = Wait(kind=WaitKind.APPROVAL, seconds=1.5)
    run_id = start(acme, raw([a("a", onError="continue"), a("b")]))
    with worker(waits(wait)) as loop:
        loop.ring()
        parked(acme, run_id)
        with scope.tenant(acme.id):
            asks.ask_due()
        # The run goes on while another step waits for long.
        finished(acme, run_id)
    with scope.tenant(acme.id):
        asks.ask_due()
    assert [type(event) for event in asked] in ([StepAsks, WaitOver], [StepAsks])


def test_another_worker_takes_a_waiting_run_over(acme: Tenant) -> None:
    run_id = start(acme, pair())
    with worker(waits(APPROVAL)) as loop:
        loop.ring()
        parked(acme, run_id)
    answer(acme, run_id, 1)
    with worker(waits(APPROVAL)) as loop:
        loop.ring()
        assert finished(acme, run_id).state == "SUCCEEDED"
