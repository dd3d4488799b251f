"""Directed cases of a slice: what is decided, what is appended with what, how it leaves."""

from __future__ import annotations

import datetime as dt
import uuid
from typing import Any

import pytest

from apps.executions.engine.decide import CancelRequest, Facts, decide
from apps.executions.engine.plan import Plan, compile_plan
from apps.executions.engine.ports import (
    StepCall,
    StepDone,
    StepFailed,
    StepOutcome,
    StepStopped,
    StopReason,
    TransactionalWrite,
)
from apps.executions.engine.slice_ports import Change, Inbox, LeaseLost, Left
from apps.executions.engine.state import RunStatus, StepStatus
from tests.engine.simulator import START, Cut, Script, World, echo
from tests.factories.graphs import CATALOGUE, a, document, to


def plan_of(nodes: list[dict[str, Any]], links: Any = (), **configuration: Any) -> Plan:
    return compile_plan(document(nodes, links, **configuration), CATALOGUE)


def failing(code: str = "NO", *, times: int = 99, **fields: Any) -> Script:
    """Attempts up to `times` fail, the others say their name."""

    def answer(call: StepCall) -> StepOutcome:
        if call.attempt <= times:
            return StepFailed(code=code, message="no", **fields)
        return echo(call)

    return answer


def only(path: str, script: Script) -> Script:
    """A script for one step; the others echo."""
    return lambda call: script(call) if call.path == path else echo(call)


def types(world: World) -> list[str]:
    return [f"{row.type} {row.path or ''}".strip() for row in world.rows]


def statuses(world: World) -> dict[str, str]:
    state = world.folded()
    pairs = zip(world.plan.steps, state.records, strict=True)
    return {step.path: record.status.value for step, record in pairs}


# --- conditions, joins, disabled nodes


def test_a_condition_that_is_false_skips_what_depends_on_it() -> None:
    links = [
        to("a", "yes", condition="{{ true }}"),
        to("a", "no", condition="{{ false }}"),
        to("no", "after"),
        to("yes", "join.all"),
        to("after", "join.all"),
    ]
    plan = plan_of([a("a"), a("yes"), a("no"), a("after"), a("join")], links)

    def answer(call: StepCall) -> StepOutcome:
        outcomes = {c.id: c.target == "yes" for c in call.outgoing if c.condition}
        inputs: Any = dict(call.inputs)
        return StepDone(outputs={"value": inputs}, conditions=outcomes)

    world = World(plan, script=answer)
    state = world.finish()
    assert state.status is RunStatus.SUCCEEDED
    assert statuses(world)["no"] == statuses(world)["after"] == "SKIPPED"
    assert state.result() == {"join": {"value": {"all": [{"value": {}}]}}}


def test_a_port_that_was_not_taken_skips_what_needs_it() -> None:
    plan = plan_of(
        [a("a"), a("p", "picky"), a("q")], [to("a.other", "p.needed"), to("a", "p"), to("a", "q")]
    )
    world = World(plan)
    assert world.finish().status is RunStatus.SUCCEEDED
    assert statuses(world) == {"a": "SUCCEEDED", "p": "SKIPPED", "q": "SUCCEEDED"}


def test_a_disabled_node_is_skipped_and_what_hangs_on_it_too() -> None:
    plan = plan_of([a("a", disabled=True), a("b"), a("c")], [to("a", "b")])
    world = World(plan)
    assert world.finish().status is RunStatus.SUCCEEDED
    assert statuses(world) == {"a": "SKIPPED", "b": "SKIPPED", "c": "SUCCEEDED"}
    assert {e.reason for e in world.events() if hasattr(e, "reason")} == {
        "DISABLED",
        "NOT_REACHED",
    }


def test_several_connections_into_one_port_give_the_first_that_was_taken() -> None:
    plan = plan_of([a("a"), a("b"), a("c")], [to("b", "c"), to("a", "c")])
    seen: list[Any] = []

    def answer(call: StepCall) -> StepOutcome:
        seen.append(dict(call.inputs)) if call.path == "c" else None
        return echo(call)

    World(plan, script=answer).finish()
    assert seen == [{"value": "b"}]


def test_a_step_reads_only_what_it_depends_on() -> None:
    plan = plan_of([a("a"), a("b"), a("c"), a("d")], [to("a", "b"), to("b", "c"), to("d", "c.all")])
    seen: dict[str, Any] = {}

    def answer(call: StepCall) -> StepOutcome:
        seen[call.path] = {name: dict(ports) for name, ports in call.upstream.items()}
        assert len(call.upstream) == len(seen[call.path])
        return echo(call)

    World(plan, script=answer, slots=1).finish()
    values = {name: {"value": name} for name in "abd"}
    assert seen == {"a": {}, "b": {"a": values["a"]}, "c": values, "d": {}}


# --- failures


def test_a_failure_fails_the_run_and_nothing_starts_after_it() -> None:
    plan = plan_of([a("a"), a("b"), a("c")], [to("a", "b")])
    world = World(plan, script=only("a", failing()), slots=1)
    state = world.finish()
    assert state.status is RunStatus.FAILED
    assert state.error is not None
    assert (state.error.code, state.error.path) == ("NO", "a")
    assert statuses(world) == {"a": "FAILED", "b": "CANCELED", "c": "CANCELED"}


def test_a_failure_stops_what_runs_beside_it() -> None:
    plan = plan_of([a("a"), a("slow"), a("busy", "keyed")])
    patient: dict[str, StepOutcome] = {
        "slow": StepStopped(reason=StopReason.CANCELED),
        "busy": StepDone(outputs={}),
    }
    world = World(plan, script=only("a", failing()), patient=patient)
    assert world.finish().status is RunStatus.FAILED
    assert world.stops == [StopReason.CANCELED]
    assert statuses(world) == {"a": "FAILED", "slow": "CANCELED", "busy": "SUCCEEDED"}


def test_continue_makes_the_run_partial() -> None:
    plan = plan_of([a("a", onError="continue"), a("b"), a("c")], [to("a", "b")])
    world = World(plan, script=only("a", failing()))
    assert world.finish().status is RunStatus.PARTIAL
    assert statuses(world) == {"a": "FAILED", "b": "SKIPPED", "c": "SUCCEEDED"}


def test_route_sends_the_failure_through_the_error_port() -> None:
    plan = plan_of(
        [a("a", onError="route"), a("b"), a("mend")], [to("a", "b"), to("a.error", "mend")]
    )
    seen: list[Any] = []

    def answer(call: StepCall) -> StepOutcome:
        seen.extend(call.inputs.values())
        return echo(call) if call.path != "a" else StepFailed(code="NO", message="no")

    world = World(plan, script=answer)
    assert world.finish().status is RunStatus.SUCCEEDED
    assert seen == [{"code": "NO", "message": "no", "nodeId": "a", "attempt": 1}]
    assert statuses(world) == {"a": "FAILED", "b": "SKIPPED", "mend": "SUCCEEDED"}


@pytest.mark.parametrize(("held", "status"), [(True, "SUCCEEDED"), (False, "FAILED")])
def test_a_failure_that_nobody_receives_fails_the_run(held: bool, status: str) -> None:
    link = to("a.error", "mend", condition="{{ code == 'X' }}")
    plan = plan_of([a("a", onError="route"), a("mend")], [link])
    script = only("a", failing(conditions={link["id"]: held}))
    assert World(plan, script=script).finish().status.value == status


# --- retries


def test_short_retries_are_waited_for_in_the_slice() -> None:
    plan = plan_of([a("a", "keyed", retry={"maxAttempts": 3, "backoffSeconds": 1})])
    world = World(plan, script=failing(times=2, retryable=True))
    outcome = world.slice()
    assert outcome.left is Left.FINISHED
    assert outcome.state.status is RunStatus.SUCCEEDED
    assert types(world).count("step.attempt_failed a") == 2
    assert outcome.state.totals.attempts == 3
    assert world.now >= START + dt.timedelta(seconds=1.5)


def test_a_long_retry_parks_the_run() -> None:
    plan = plan_of([a("a", retry={"maxAttempts": 2, "backoffSeconds": 60})])
    world = World(plan, script=failing(times=1, retryable=True, retry_after_seconds=50.0))
    outcome = world.slice()
    assert outcome.left is Left.PARKED
    wake_at = world.batches[-1].change.wake_at
    assert wake_at is not None
    assert abs((wake_at - START).total_seconds() - 50) < 1
    world.now = wake_at
    assert world.slice().state.status is RunStatus.SUCCEEDED


def test_spent_retries_end_in_the_error_rule() -> None:
    plan = plan_of([a("a", retry={"maxAttempts": 2, "backoffSeconds": 0}, onError="continue")])
    world = World(plan, script=failing(retryable=True))
    assert world.finish().status is RunStatus.PARTIAL
    assert types(world)[-3:] == ["step.attempt_failed a", "step.failed a", "run.partial"]


def test_a_retry_after_the_deadline_does_not_come() -> None:
    plan = plan_of([a("a", retry={"maxAttempts": 9, "backoffSeconds": 60})])
    deadline = START + dt.timedelta(seconds=20)
    world = World(plan, script=failing(retryable=True), deadline_at=deadline)
    assert world.finish().status is RunStatus.FAILED


def test_an_unsafe_step_that_timed_out_is_not_tried_again() -> None:
    plan = plan_of([a("a", "unsafe", retry={"maxAttempts": 3, "retryOn": ["STEP_TIMEOUT"]})])
    world = World(plan, script=failing("STEP_TIMEOUT", retryable=True))
    assert world.finish().status is RunStatus.FAILED
    assert sum(world.attempts.values()) == 1


# --- what can be stored


def test_outputs_that_cannot_be_stored_fail_the_step() -> None:
    plan = plan_of([a("a", "keyed")])
    world = World(plan, script=lambda _: StepDone(outputs={"value": "a\x00b"}))
    state = world.finish()
    assert state.error is not None
    assert state.error.code == "OUTPUT_INVALID"
    assert sum(world.attempts.values()) == 1


def test_declared_writes_ride_in_the_append_of_their_step() -> None:
    plan = plan_of([a("a", "transactional"), a("b")], [to("a", "b")])
    write = TransactionalWrite(key="cursor", value=7)
    script = only("a", lambda _: StepDone(outputs={"value": 1}, writes=(write,)))
    world = World(plan, script=script)
    world.finish()
    (batch,) = [batch for batch in world.batches if batch.change.writes]
    assert batch.change.writes == (write,)
    assert "step.completed" in {row.type for row in batch.rows}


# --- what is durable before what


def test_completions_and_the_intents_they_release_are_one_append() -> None:
    plan = plan_of(
        [a("a", "keyed"), a("b", "unsafe"), a("c", "unsafe")], [to("a", "b"), to("a", "c")]
    )
    world = World(plan)
    world.finish()
    first = next(b for b in world.batches if any(row.type == "step.completed" for row in b.rows))
    assert [f"{row.type} {row.path}" for row in first.rows][-3:] == [
        "step.completed a",
        "step.started b",
        "step.started c",
    ]


def test_an_effect_waits_for_what_was_posted() -> None:
    """What was posted while another step ran is durable before an effect starts."""
    plan = plan_of(
        [
            a("quick"),
            a("slow"),
            a("again", retry={"maxAttempts": 2, "backoffSeconds": 0.1}),
            a("e", "keyed"),
        ],
        [to("quick", "e")],
        resources={"maxConcurrency": 2},
    )
    seconds = {"slow": 0.3, "again": 0.1}
    script = only("again", failing(times=1, retryable=True))
    world = World(plan, script=script, seconds=seconds, slots=2)
    assert world.finish().status is RunStatus.SUCCEEDED


def test_a_step_that_takes_long_is_announced() -> None:
    plan = plan_of([a("a"), a("b", "unsafe")])
    world = World(plan, seconds={"a": 2.0, "b": 2.0})
    world.finish()
    assert types(world).count("step.started a") == 1
    assert types(world).count("step.started b") == 1


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
    assert world.now >= START + dt.timedelta(seconds=30)


def test_a_step_that_ignores_the_stop_does_not_keep_the_run() -> None:
    plan = plan_of([a("a", timeoutSeconds=3000)])
    world = World(plan, stuck={"a"})
    world.mail_at = (START + dt.timedelta(seconds=1), Inbox(cancel=CancelRequest()))
    state = world.finish()
    assert state.status is RunStatus.CANCELED
    assert world.now < START + dt.timedelta(seconds=13)


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
    state = world.finish()
    assert state.error is not None
    assert (state.error.code, state.error.path) == ("EFFECT_IN_DOUBT", "b")
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
    first = Change(status=RunStatus.RUNNING, started=True, consumed=(uuid.UUID(int=1),))
    last = Change(status=RunStatus.SUCCEEDED, left=Left.FINISHED, result="{}")
    assert first.joined(Change()) == first
    both = first.joined(last)
    assert (both.status, both.started, both.left) == (RunStatus.SUCCEEDED, True, Left.FINISHED)
    assert both.consumed == first.consumed
    assert first.joined(Change(left=Left.PARKED)).status is RunStatus.RUNNING


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
