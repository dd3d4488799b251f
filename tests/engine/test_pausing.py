"""Pause and resume: nothing starts, nothing is lost, a run that is paused can still end."""

from __future__ import annotations

import datetime as dt

import pytest

from apps.executions.engine.decide import CancelRequest
from apps.executions.engine.pausing import PauseRequest
from apps.executions.engine.ports import StepCall, StepDone, StepFailed, StepOutcome, StepWaits
from apps.executions.engine.slice_ports import AskKind, Inbox, Left
from apps.executions.engine.state import RunStatus
from apps.executions.engine.wait_events import SignalReceived
from apps.workflows.graph.declaration import Wait, WaitKind
from tests.engine.cases import failing, only, plan_of, statuses, types
from tests.engine.simulator import START, World
from tests.factories.graphs import a, to

SECOND = dt.timedelta(seconds=1)
PAUSE = Inbox(pause=PauseRequest(is_wanted=True, by="Ada"))
RESUME = Inbox(pause=PauseRequest(is_wanted=False, by="Bob"))
CHAIN = plan_of([a("a"), a("b", "keyed"), a("c")], [to("a", "b"), to("b", "c")])


def test_a_queued_run_that_is_paused_starts_nothing() -> None:
    world = World(CHAIN, mail=[PAUSE])
    assert world.slice().left is Left.PARKED
    assert types(world) == ["run.queued", "run.started", "run.paused"]
    change = world.batches[-1].change
    assert (change.status, change.wake_at) == (RunStatus.PAUSED, None)
    assert not world.attempts
    world.mail.append(RESUME)
    assert world.finish().status is RunStatus.SUCCEEDED


def test_what_runs_ends_and_is_durable_before_the_run_rests() -> None:
    world = World(CHAIN, mail_after={"a": PAUSE})
    assert world.slice().left is Left.PARKED
    assert types(world)[2:] == ["step.completed a", "run.paused"]
    assert statuses(world) == {"a": "SUCCEEDED", "b": "READY", "c": "BLOCKED"}


@pytest.mark.parametrize("word", [PAUSE, RESUME])
def test_asking_twice_is_asking_once(word: Inbox) -> None:
    world = World(CHAIN, mail=[PAUSE])
    world.slice()
    world.mail += [word, word]
    world.finish() if word is RESUME else world.slice()
    assert types(world).count("run.paused") == 1
    assert types(world).count("run.resumed") <= 1


def test_a_retry_that_is_due_waits_for_the_resume() -> None:
    nodes = [a("a", retry={"maxAttempts": 2, "backoffSeconds": 60, "retryOn": ["NO"]})]
    world = World(plan_of(nodes), script=failing(times=1))
    world.slice()
    world.mail.append(PAUSE)
    world.slice()
    assert world.batches[-1].change.wake_at is None
    world.now += SECOND * 120
    assert world.slice().left is Left.PARKED
    assert world.attempts["a", 2] == 0
    world.mail.append(RESUME)
    assert world.finish().status is RunStatus.SUCCEEDED


def test_time_and_signals_go_on_and_start_nothing() -> None:
    def script(call: StepCall) -> StepOutcome:
        match call.path:
            case "a":
                return StepWaits(wait=Wait(kind=WaitKind.TIMER, seconds=60.0, due={"value": 1}))
            case "s":
                return StepWaits(wait=Wait(kind=WaitKind.SIGNAL, name="go"))
        return StepDone(outputs={"value": 2})

    plan = plan_of([a("a"), a("s"), a("b")], [to("a", "b")])
    world = World(plan, script=script)
    world.slice()
    world.mail.append(PAUSE)
    world.say(SignalReceived(id="1", name="go"))
    assert world.slice().left is Left.PARKED
    assert world.batches[-1].change.wake_at == world.folded().waiting[plan.positions["a"]].until
    world.now += SECOND * 61
    assert world.slice().left is Left.PARKED
    assert statuses(world) == {"a": "SUCCEEDED", "s": "SUCCEEDED", "b": "READY"}
    world.mail.append(RESUME)
    assert world.finish().status is RunStatus.SUCCEEDED


def test_a_paused_run_with_nothing_left_ends() -> None:
    world = World(plan_of([a("a")]), mail_after={"a": PAUSE})
    assert world.finish().status is RunStatus.SUCCEEDED


def test_cancel_and_deadline_count_as_ever() -> None:
    world = World(CHAIN, mail=[PAUSE])
    world.slice()
    world.mail.append(Inbox(cancel=CancelRequest(by="Ada")))
    assert world.slice().left is Left.FINISHED
    assert world.folded().status is RunStatus.CANCELED
    late = World(CHAIN, mail=[PAUSE], deadline_at=START + SECOND * 60)
    late.slice()
    late.now += SECOND * 61
    assert late.slice().left is Left.FINISHED
    assert late.folded().status is RunStatus.TIMED_OUT


def test_a_run_that_is_stopping_is_not_paused() -> None:
    plan = plan_of([a("a"), a("b", resources={"pool": "cpu"})])
    script = only("a", lambda _: StepFailed(code="NO", message="no"))
    world = World(plan, script=script, mail_after={"a": PAUSE})
    assert world.finish().status is RunStatus.FAILED
    assert "run.paused" not in types(world)


def test_the_end_of_a_run_that_has_asked_is_told() -> None:
    script = only("a", lambda _: StepWaits(wait=Wait(kind=WaitKind.APPROVAL)))
    world = World(CHAIN, script=script)
    world.slice()
    world.mail.append(Inbox(cancel=CancelRequest()))
    world.slice()
    (ask,) = world.batches[-1].change.asks
    assert (ask.kind, types(world)[ask.seq - 1]) == (AskKind.OVER, "run.canceled")


def test_signals_that_nobody_has_taken_are_counted_in_the_row() -> None:
    world = World(plan_of([a("a"), a("b")]), mail=[PAUSE])
    world.say(SignalReceived(id="1", name="go"))
    world.say(SignalReceived(id="2", name="go"))
    world.slice()
    assert world.batches[-1].change.signals == 2
    world.mail.append(RESUME)
    names = {"a": "go", "b": "never"}
    world.script = lambda call: StepWaits(wait=Wait(kind=WaitKind.SIGNAL, name=names[call.path]))
    world.batches.clear()
    world.slice()
    counted = [b.change.signals for b in world.batches if b.change.signals is not None]
    assert counted == [1]


def test_a_run_that_is_held_back_may_be_paused() -> None:
    world = World(CHAIN, mail=[PAUSE])
    assert world.slice(is_held=True).left is Left.PARKED
    assert types(world)[1:] == ["run.started", "run.paused"]
    world.mail.append(RESUME)
    assert world.slice(is_held=True).left is Left.PARKED
    assert not world.attempts
    assert world.finish().status is RunStatus.SUCCEEDED
