"""Directed cases of a slice: deadlines, stops, how it leaves, and what a death leaves behind."""

from __future__ import annotations

import datetime as dt
import uuid

import pytest

from apps.executions.engine.decide import CancelRequest, Facts, decide
from apps.executions.engine.flight import GRACE
from apps.executions.engine.ports import (
    StepCall,
    StepDone,
    StepOutcome,
    StepStopped,
    StopReason,
)
from apps.executions.engine.slice_ports import Change, Inbox, LeaseLost, Left
from apps.executions.engine.state import RunStatus, StepStatus
from tests.engine.cases import failing, only, plan_of, statuses, types
from tests.engine.doubles import Cut
from tests.engine.simulator import START, World, echo
from tests.factories.graphs import a, to

# --- deadlines, cancellation, steps that do not come back


def test_a_run_past_its_deadline_times_out() -> None:
    plan = plan_of([a("a"), a("b")], [to("a", "b")])
    patient: dict[str, StepOutcome] = {"a": StepStopped(reason=StopReason.CANCELED)}
    world = World(plan, patient=patient, deadline_at=START + dt.timedelta(seconds=3))
    state = world.finish()
    assert state.status is RunStatus.TIMED_OUT
    assert state.error is not None
    assert state.error.code == "RUN_TIMEOUT"
    assert types(world)[-3:] == ["run.canceling", "step.canceled a", "run.timed_out"]


def test_a_canceled_run_stops_its_steps_and_keeps_their_results() -> None:
    plan = plan_of([a("a", "keyed"), a("b"), a("c")], [to("a", "c")])
    patient: dict[str, StepOutcome] = {
        "a": StepDone(outputs={"value": 1}),
        "b": StepStopped(reason=StopReason.CANCELED),
    }
    world = World(plan, patient=patient)
    mail = Inbox(ids=(uuid.UUID(int=9),), cancel=CancelRequest(by="Ada"))
    world.mail.append(mail)
    state = world.slice(has_inbox=False).state
    assert state.status is RunStatus.CANCELED
    assert types(world) == ["run.queued", "run.canceling", "run.canceled"]
    assert [b.change.consumed for b in world.batches if b.change.consumed] == [mail.ids]
    assert [b.change.unbegun for b in world.batches][-1]


def test_a_cancellation_while_steps_run() -> None:
    plan = plan_of([a("a", "keyed"), a("b"), a("c")], [to("a", "c")])
    stopped = StepStopped(reason=StopReason.CANCELED)
    world = World(plan, patient={"b": stopped}, seconds={"a": 0.2})
    world.mail_after = {"a": Inbox(ids=(uuid.UUID(int=9),), cancel=CancelRequest())}
    state = world.finish()
    assert state.status is RunStatus.CANCELED
    assert statuses(world) == {"a": "SUCCEEDED", "b": "CANCELED", "c": "CANCELED"}
    assert not state.has_started or "run.started" in types(world)


def test_a_step_that_never_comes_back_is_abandoned_and_tried_again() -> None:
    plan = plan_of([a("a", timeoutSeconds=5, retry={"maxAttempts": 2, "backoffSeconds": 0})])
    world = World(plan, stuck={"a"})
    state = world.finish()
    assert world.abandoned == ["a", "a"]
    assert state.error is not None
    assert state.error.code == "STEP_TIMEOUT"
    assert world.now >= START + 2 * (dt.timedelta(seconds=5) + GRACE)


def test_a_step_that_ignores_the_stop_does_not_keep_the_run() -> None:
    plan = plan_of([a("a", timeoutSeconds=3000)])
    world = World(plan, stuck={"a"})
    world.mail_at = (START + dt.timedelta(seconds=1), Inbox(cancel=CancelRequest()))
    state = world.finish()
    assert state.status is RunStatus.CANCELED
    assert world.now < START + GRACE + dt.timedelta(seconds=3)


# --- leaving


def test_a_run_whose_lease_is_lost_is_dropped_at_once() -> None:
    world = World(plan_of([a("a")]), lost=True)
    with pytest.raises(LeaseLost):
        world.slice()
    assert types(world) == ["run.queued"]
    assert world.stops == [StopReason.LEASE_LOST]


def test_a_draining_process_starts_nothing_more() -> None:
    world = World(plan_of([a("a")]), draining=True)
    assert world.slice().left is Left.YIELDED
    assert world.batches[-1].change.left is Left.YIELDED
    world.draining = False
    assert world.finish().status is RunStatus.SUCCEEDED


def test_a_run_with_a_retry_due_is_yielded_by_a_draining_process() -> None:
    plan = plan_of([a("a", retry={"maxAttempts": 2, "backoffSeconds": 0})])
    world = World(plan, script=failing(times=1, retryable=True))
    world.drain_after = "a"
    assert world.slice().left is Left.YIELDED
    world.draining = False
    world.drain_after = None
    assert world.finish().status is RunStatus.SUCCEEDED


def test_a_stopped_step_of_a_draining_process_leaves_no_trace() -> None:
    plan = plan_of([a("a", "reconcilable"), a("b", "keyed")])
    stopped = StepStopped(reason=StopReason.DRAINING)
    world = World(plan, script=lambda _: stopped)
    world.drain_after = "a"
    assert world.slice().left is Left.YIELDED
    assert statuses(world) == {"a": "RUNNING", "b": "READY"}


def test_a_greedy_run_gives_way_after_its_budget() -> None:
    plan = plan_of([a(f"n{i}") for i in range(6)], [to(f"n{i}", f"n{i + 1}") for i in range(5)])
    world = World(plan, crowded=True, seconds={f"n{i}": 0.2 for i in range(6)})
    outcome = world.slice()
    assert outcome.left is Left.YIELDED
    assert sum(world.attempts.values()) == 3
    assert outcome.busy_ms >= 500
    assert world.finish().status is RunStatus.SUCCEEDED


# --- after a death


def test_an_unsafe_step_without_an_outcome_is_in_doubt() -> None:
    plan = plan_of([a("a"), a("b", "unsafe")], [to("a", "b")])
    world = World(plan)
    world.cut_before = "b"
    with pytest.raises(Cut):
        world.slice()
    assert world.slice().left is Left.PARKED
    assert statuses(world) == {"a": "SUCCEEDED", "b": "IN_DOUBT"}
    assert world.attempts["b", 1] == 1


def test_a_reconcilable_step_is_told_that_it_was_interrupted() -> None:
    plan = plan_of([a("a", "reconcilable")])
    told: list[bool] = []

    def answer(call: StepCall) -> StepOutcome:
        told.append(call.interrupted)
        return echo(call)

    world = World(plan, script=answer)
    world.cut_before = "a"
    assert world.finish().status is RunStatus.SUCCEEDED
    assert told == [True]
    assert types(world).count("step.started a") == 1


def test_a_canceled_run_ends_although_an_unsafe_step_is_in_doubt() -> None:
    plan = plan_of([a("b", "unsafe")])
    world = World(plan)
    world.cut_before = "b"
    with pytest.raises(Cut):
        world.slice()
    world.cut_before = None
    world.mail.append(Inbox(cancel=CancelRequest()))
    assert world.slice().state.status is RunStatus.CANCELED


@pytest.mark.parametrize("kind", ["pure", "reconcilable"])
def test_a_step_that_kills_its_workers_ends_as_worker_lost(kind: str) -> None:
    plan = plan_of([a("a", kind, onError="continue"), a("b"), a("c")], [to("b", "c")])
    world = World(plan, slots=1)
    if kind == "reconcilable":
        world.cut_before = "a"
        with pytest.raises(Cut):
            world.slice()
        world.cut_before = None
    world.crashes = 3
    world.script = echo
    state = world.slice().state
    assert state.records[plan.positions["a"]].failure is not None
    lost = state.records[plan.positions["a"]].failure
    assert lost is not None
    assert lost.code == "WORKER_LOST"


def test_a_terminal_run_has_nothing_left_to_decide() -> None:
    world = World(plan_of([a("a")]))
    state = world.finish()
    facts = Facts(now=START, deadline_at=None, slots=1)
    assert decide(state, facts).events == ()
    assert {record.status for record in state.records} == {StepStatus.SUCCEEDED}


# --- changes that become one


def test_two_batches_that_become_one_lose_nothing() -> None:
    first = Change(status=RunStatus.RUNNING, consumed=(uuid.UUID(int=1),))
    last = Change(status=RunStatus.SUCCEEDED, left=Left.FINISHED, result="{}")
    assert first.joined(Change()) == first
    both = first.joined(last)
    assert (both.status, both.left) == (RunStatus.SUCCEEDED, Left.FINISHED)
    assert both.consumed == first.consumed
    assert first.joined(Change(left=Left.PARKED)).status is RunStatus.RUNNING


def test_a_plain_change_is_at_most_a_state() -> None:
    assert Change().is_plain
    assert Change(status=RunStatus.RUNNING).is_plain
    assert not Change(status=RunStatus.RUNNING, unbegun=True).is_plain


def test_a_run_close_to_its_deadline_is_not_parked() -> None:
    plan = plan_of([a("a", retry={"maxAttempts": 2, "backoffSeconds": 60})])
    script = failing(times=1, retryable=True, retry_after_seconds=0.9)
    near = START + dt.timedelta(seconds=1)
    world = World(plan, script=script, deadline_at=near)
    assert world.slice().state.status is RunStatus.SUCCEEDED
    far = World(plan, script=failing(times=1, retryable=True, retry_after_seconds=50.0))
    far.deadline_at = START + dt.timedelta(seconds=60)
    assert far.slice().left is Left.PARKED
    far.now = START + dt.timedelta(seconds=59.5)
    far.crashes = 0
    folded = far.folded()
    assert folded.retrying
    assert far.slice().state.status is RunStatus.SUCCEEDED


def test_a_step_that_times_out_with_its_run_is_the_runs_end() -> None:
    plan = plan_of([a("a", onError="continue"), a("b", "keyed")])
    patient: dict[str, StepOutcome] = {"b": StepStopped(reason=StopReason.CANCELED)}
    script = only("a", failing("STEP_TIMEOUT", retryable=True))
    deadline = START + dt.timedelta(seconds=3)
    world = World(plan, script=script, patient=patient, seconds={"a": 2.999}, deadline_at=deadline)
    assert world.finish().status is RunStatus.TIMED_OUT
    assert statuses(world) == {"a": "CANCELED", "b": "CANCELED"}
    assert types(world).count("run.canceling") == 1


def test_two_steps_that_time_out_with_their_run_end_it_once() -> None:
    plan = plan_of([a("a"), a("b")])
    script = failing("STEP_TIMEOUT", retryable=True)
    deadline = START + dt.timedelta(seconds=3)
    world = World(plan, script=script, seconds={"a": 2.9, "b": 2.9}, deadline_at=deadline)
    assert world.finish().status is RunStatus.TIMED_OUT
    assert types(world).count("run.canceling") == 1
