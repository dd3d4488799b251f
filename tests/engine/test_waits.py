"""Waits: what ends them, what they cost, and what a run that only waits looks like."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from apps.executions.engine.history import StepCompleted
from apps.executions.engine.ports import (
    StepCall,
    StepDone,
    StepFailed,
    StepOutcome,
    StepWaits,
    Usage,
)
from apps.executions.engine.slice_ports import Ask, AskKind, Left
from apps.executions.engine.state import RunStatus
from apps.executions.engine.wait_events import SignalReceived, StepAnswer, StepWaiting
from apps.workflows.graph.declaration import Wait, WaitKind
from tests.engine.cases import only, plan_of, statuses, types
from tests.engine.simulator import START, Script, World, echo
from tests.factories.graphs import a, to

SECOND = dt.timedelta(seconds=1)


def waits(kind: WaitKind = WaitKind.TIMER, **fields: Any) -> Script:
    """The first attempt waits, the others say their name."""

    def answer(call: StepCall) -> StepOutcome:
        return StepWaits(wait=Wait(kind=kind, **fields)) if call.attempt == 1 else echo(call)

    return answer


def waiting(kind: WaitKind = WaitKind.TIMER, links: Any = (), **fields: Any) -> World:
    """`a` waits, `b` follows unless other links say how."""
    links = links or [to("a.value", "b.value")]
    nodes = [a("a", "keyed"), a("b", "keyed")]
    return World(plan_of(nodes, links), script=only("a", waits(kind, **fields)))


def done(path: str = "a", *, attempt: int = 1, **outputs: Any) -> StepAnswer:
    return StepAnswer(path=path, attempt=attempt, outcome=StepDone(outputs=outputs))


class TestTimer:
    """A wait that only time ends."""

    def test_parks_with_its_instant_and_goes_on_when_it_has_come(self) -> None:
        world = waiting(seconds=3600.0, due={"value": 7})
        outcome = world.slice()
        assert outcome.left is Left.PARKED
        change = world.batches[-1].change
        assert change.status is RunStatus.WAITING
        assert change.wake_at == world.now + dt.timedelta(hours=1) - (world.now - START)
        assert statuses(world) == {"a": "WAITING", "b": "BLOCKED"}
        world.now = change.wake_at
        assert world.slice().left is Left.FINISHED
        assert types(world)[2:] == [
            "step.waiting a",
            "step.completed a",
            "step.completed b",
            "run.succeeded",
        ]
        assert world.folded().status is RunStatus.SUCCEEDED

    def test_wakes_too_early_and_sleeps_again(self) -> None:
        world = waiting(seconds=3600.0, due={"value": 7})
        world.slice()
        head = len(world.rows)
        world.now += SECOND
        assert world.slice().left is Left.PARKED
        assert len(world.rows) == head
        assert world.batches[-1].change.status is RunStatus.WAITING

    def test_says_running_with_the_append_that_goes_on(self) -> None:
        world = waiting(seconds=60.0, due={"value": 7})
        world.slice()
        world.now += dt.timedelta(minutes=2)
        world.batches.clear()
        world.slice()
        assert world.batches[0].change.status is RunStatus.RUNNING

    def test_a_short_one_is_waited_for(self) -> None:
        world = waiting(seconds=0.5, due={"value": 7})
        assert world.slice().left is Left.FINISHED
        assert world.now >= START + SECOND / 2

    def test_the_deadline_of_the_run_counts(self) -> None:
        world = waiting(seconds=3600.0, due={"value": 7})
        world.deadline_at = START + SECOND * 60
        world.slice()
        world.now = world.deadline_at
        assert world.finish().status is RunStatus.TIMED_OUT
        assert statuses(world)["a"] == "CANCELED"

    def test_an_instant_is_kept(self) -> None:
        until = START + dt.timedelta(days=365)
        world = waiting(until=until, due={})
        world.slice()
        assert world.folded().waiting[0].until == until
        assert world.batches[-1].change.asks == ()


class TestTimeout:
    """A wait for somebody whose time is over."""

    def test_leaves_by_the_connected_port(self) -> None:
        links = [to("a.timeout", "b.value")]
        world = waiting(WaitKind.SIGNAL, links, seconds=60.0, due={"timeout": None})
        world.slice()
        world.now += SECOND * 61
        assert world.finish().status is RunStatus.SUCCEEDED
        assert statuses(world) == {"a": "SUCCEEDED", "b": "SUCCEEDED"}

    @pytest.mark.parametrize("due", [None, {"timeout": None}])
    @pytest.mark.parametrize("kind", [WaitKind.SIGNAL, WaitKind.APPROVAL])
    def test_fails_where_nothing_is_connected(self, due: Any, kind: WaitKind) -> None:
        world = waiting(kind, name="go", seconds=60.0, due=due)
        world.slice()
        world.now += SECOND * 61
        state = world.finish()
        assert state.status is RunStatus.FAILED
        assert state.error is not None
        assert state.error.code == "WAIT_TIMEOUT"

    def test_may_be_tried_again(self) -> None:
        nodes = [
            a(
                "a",
                "keyed",
                retry={"maxAttempts": 2, "backoffSeconds": 0, "retryOn": ["WAIT_TIMEOUT"]},
            )
        ]
        script = only("a", waits(WaitKind.SIGNAL, name="go", seconds=60.0))
        world = World(plan_of(nodes), script=script)
        world.slice()
        world.now += SECOND * 61
        assert world.finish().status is RunStatus.SUCCEEDED
        assert world.attempts["a", 2] == 1

    def test_tells_whoever_was_asked(self) -> None:
        world = waiting(WaitKind.APPROVAL, seconds=60.0, due={"value": 1})
        world.slice()
        world.now += SECOND * 61
        world.batches.clear()
        world.finish()
        seq = next(n for n, name in enumerate(types(world), 1) if name == "step.completed a")
        asks = [ask for batch in world.batches for ask in batch.change.asks]
        assert asks == [Ask(kind=AskKind.OVERDUE, seq=seq)]


class TestAnswer:
    """What comes by the inbox."""

    def test_is_asked_for_in_the_append_that_records_the_wait(self) -> None:
        world = waiting(WaitKind.APPROVAL, payload={"title": "Pay?"})
        assert world.slice().left is Left.PARKED
        (batch,) = [batch for batch in world.batches if batch.change.asks]
        (ask,) = batch.change.asks
        assert ask.kind is AskKind.WAITING
        assert types(world)[ask.seq - 1] == "step.waiting a"
        assert batch.head < ask.seq <= batch.head + len(batch.rows)
        assert world.batches[-1].change.wake_at is None

    def test_becomes_the_outputs(self) -> None:
        world = waiting(WaitKind.APPROVAL)
        world.slice()
        world.say(done(value={"by": "Ada"}))
        assert world.finish().status is RunStatus.SUCCEEDED
        assert world.folded().records[0].outputs == {"value": {"by": "Ada"}}
        assert not world.said

    def test_may_be_a_failure(self) -> None:
        world = waiting(WaitKind.CHILD)
        world.slice()
        failure = StepFailed(code="CHILD_FAILED", message="no", details={"run": "1"})
        world.say(StepAnswer(path="a", attempt=1, outcome=failure))
        state = world.finish()
        assert state.error is not None
        assert (state.error.code, state.error.details) == ("CHILD_FAILED", {"run": "1"})

    def test_comes_too_late_or_to_another_attempt(self) -> None:
        world = waiting(WaitKind.APPROVAL, seconds=60.0, due={"value": 1})
        world.slice()
        world.say(done(attempt=2, value=2))
        assert world.slice().left is Left.PARKED
        world.now += SECOND * 61
        world.say(done(value=3))
        world.say(done(value=4))
        world.finish()
        assert world.folded().records[0].outputs == {"value": 3}

    def test_what_cannot_be_stored_fails_the_step(self) -> None:
        world = waiting(WaitKind.APPROVAL)
        world.slice()
        world.say(done(value="x" * 100_000))
        state = world.finish()
        assert state.error is not None
        assert state.error.code == "OUTPUT_TOO_LARGE"

    @pytest.mark.parametrize("holds", [True, False])
    def test_conditions_are_evaluated_on_it(self, *, holds: bool) -> None:
        links = [
            to("a.value", "b.value", condition="{{ value }}"),
            to("a.error", "c.value", condition="{{ true }}"),
        ]
        nodes = [a("a", onError="route"), a("b"), a("c")]
        world = World(plan_of(nodes, links), script=only("a", waits(WaitKind.APPROVAL)))

        def judge(call: StepCall) -> StepOutcome:
            assert isinstance(call.given, StepDone)
            assert call.given.outputs == {"value": 5}
            return StepDone(outputs=call.given.outputs, conditions={"a.value-b.value": holds})

        world.judge = judge
        world.slice()
        world.say(done(value=5))
        world.finish()
        assert statuses(world) == {
            "a": "SUCCEEDED",
            "b": "SUCCEEDED" if holds else "SKIPPED",
            "c": "SKIPPED",
        }

    def test_conditions_of_a_failure_too(self) -> None:
        links = [to("a.error", "b.value", condition="{{ true }}")]
        nodes = [a("a", onError="route"), a("b")]
        world = World(plan_of(nodes, links), script=only("a", waits(WaitKind.CHILD)))
        world.slice()
        outcome = StepFailed(code="CHILD_FAILED", message="no")
        world.say(StepAnswer(path="a", attempt=1, outcome=outcome))
        assert world.finish().status is RunStatus.SUCCEEDED


class TestSignal:
    """Signals: kept until somebody waits for them."""

    def signal(self, name: str = "go", **fields: Any) -> SignalReceived:
        return SignalReceived(**{"id": name, "name": name, **fields})

    def test_ends_the_wait(self) -> None:
        links = [to("a.payload", "b.value")]
        world = waiting(WaitKind.SIGNAL, links, name="go")
        world.slice()
        world.say(self.signal(payload={"amount": 3}, by="Ada"))
        assert world.finish().status is RunStatus.SUCCEEDED
        events = [event for event in world.events() if isinstance(event, StepCompleted)]
        assert events[0].outputs == {"payload": {"amount": 3}}
        assert events[0].signal == "go"

    def test_before_the_wait_is_kept(self) -> None:
        links = [to("a.payload", "b.value")]
        world = waiting(WaitKind.SIGNAL, links, name="go", key="7")
        world.say(self.signal("stay"))
        world.say(self.signal("go", id="1", key="6"))
        world.say(self.signal("go", id="2", key="7"))
        assert world.finish().status is RunStatus.SUCCEEDED

    def test_one_counts_once_however_often_it_comes(self) -> None:
        nodes = [a("a"), a("b")]
        world = World(plan_of(nodes), script=waits(WaitKind.SIGNAL, name="go"))
        for _ in range(3):
            world.say(self.signal())
        assert world.slice().left is Left.PARKED
        assert sorted(statuses(world).values()) == ["SUCCEEDED", "WAITING"]
        world.say(self.signal())
        assert world.slice().left is Left.PARKED
        world.say(self.signal(id="another"))
        assert world.slice().left is Left.FINISHED
        assert sum(name == "signal.received" for name in types(world)) == 2

    def test_wins_over_the_time_when_both_are_here(self) -> None:
        world = waiting(WaitKind.SIGNAL, name="go", seconds=60.0)
        world.slice()
        world.now += SECOND * 61
        world.say(self.signal(payload=1))
        assert world.finish().status is RunStatus.SUCCEEDED

    def test_one_that_nobody_takes_is_no_obstacle(self) -> None:
        world = World(plan_of([a("a")]))
        world.say(self.signal("stay"))
        assert world.finish().status is RunStatus.SUCCEEDED
        assert world.folded().signals == {}


class TestStop:
    """A run that stops waits for nobody."""

    def test_waits_end_with_the_run(self) -> None:
        nodes = [a("a"), a("b")]
        script = only("a", waits(WaitKind.APPROVAL))
        world = World(
            plan_of(nodes), script=only("b", lambda _: StepFailed(code="NO", message="no"))
        )
        world.script = lambda call: (
            script(call) if call.path == "a" else StepFailed(code="NO", message="no")
        )
        assert world.finish().status is RunStatus.FAILED
        assert statuses(world) == {"a": "CANCELED", "b": "FAILED"}

    def test_is_not_waiting_while_something_else_is_to_do(self) -> None:
        nodes = [
            a("a"),
            a("b", retry={"maxAttempts": 2, "backoffSeconds": 30, "retryOn": ["*"]}),
        ]
        world = World(plan_of(nodes))

        def script(call: StepCall) -> StepOutcome:
            if call.path == "a":
                return StepWaits(wait=Wait(kind=WaitKind.TIMER, seconds=10.0, due={}))
            return StepFailed(code="NO", message="no", retryable=True)

        world.script = script
        world.slice()
        change = world.batches[-1].change
        assert change.left is Left.PARKED
        assert change.status is not RunStatus.WAITING
        assert change.wake_at is not None
        assert change.wake_at < START + SECOND * 11


def test_a_dispatched_step_may_wait() -> None:
    nodes = [a("a", resources={"pool": "cpu"})]
    script = waits(WaitKind.SIGNAL, name="go", seconds=60.0, due={"value": 1}, payload={"x": 1})
    world = World(plan_of(nodes), script=script)
    assert world.slice().left is Left.PARKED
    world.work(world.tasks[0])
    assert world.slice().left is Left.PARKED
    (wait,) = world.folded().waiting.values()
    assert (wait.name, wait.payload, wait.due) == ("go", {"x": 1}, {"value": 1})
    assert world.finish().status is RunStatus.SUCCEEDED


def test_a_step_that_announced_itself_may_wait() -> None:
    world = World(plan_of([a("a", "unsafe")]), script=waits(seconds=60.0, due={"value": 1}))
    assert world.slice().left is Left.PARKED
    assert world.finish().status is RunStatus.SUCCEEDED
    assert world.effects.total() == 1


def test_what_an_attempt_used_before_it_waited_counts() -> None:
    def wait(call: StepCall) -> StepOutcome:
        if call.given is not None:
            return call.given
        due = {"value": 1}
        waiting = Wait(kind=WaitKind.TIMER, seconds=1.5, due=due)
        return StepWaits(wait=waiting, usage=Usage(cpu_seconds=0.5))

    world = World(plan_of([a("a")]), script=wait)
    assert world.finish().status is RunStatus.SUCCEEDED
    (event,) = (event for event in world.events() if isinstance(event, StepWaiting))
    assert event.usage.cpu_seconds == 0.5
