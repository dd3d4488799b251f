"""Directed cases of a slice: what is decided, and what is appended with what."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from apps.executions.engine.ports import (
    StepCall,
    StepDone,
    StepFailed,
    StepOutcome,
    StepStopped,
    StopReason,
    TransactionalWrite,
)
from apps.executions.engine.slice_ports import Left
from apps.executions.engine.state import RunStatus
from tests.engine.cases import failing, only, plan_of, statuses, types
from tests.engine.simulator import START, World, echo
from tests.factories.graphs import a, to

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
    assert world.slice().left is Left.PARKED
    assert statuses(world) == {"a": "IN_DOUBT"}
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
    """The room for it comes from a failure, which settles nothing: the buffer alone says little."""
    again = {"maxAttempts": 2, "backoffSeconds": 1}
    plan = plan_of(
        [a("quick"), a("again", retry=again), a("filler"), a("e", "keyed")], [to("quick", "e")]
    )
    seconds = {"again": 0.1, "filler": 0.3}
    script = only("again", failing(times=1, retryable=True))
    world = World(plan, script=script, seconds=seconds, slots=2)
    flushed: list[int] = []
    world.on_flush = flushed.append
    assert world.finish().status is RunStatus.SUCCEEDED
    assert flushed[0] == 1, "one batch had been posted when the effect was about to start"


def test_a_step_that_takes_long_is_announced() -> None:
    plan = plan_of([a("a"), a("b", "unsafe")])
    world = World(plan, seconds={"a": 2.0, "b": 2.0})
    world.finish()
    assert types(world).count("step.started a") == 1
    assert types(world).count("step.started b") == 1


def test_an_append_names_tenant_run_and_token() -> None:
    claim = World(plan_of([a("a")], [])).claim()
    assert claim.keys[:2] == (b"%032x" % 1, b"%032x" % 2)
    assert claim.keys[2].decode() == claim.token.hex


def test_a_step_that_changes_its_input_changes_nobody_elses() -> None:
    plan = plan_of([a("a"), a("b"), a("c")], [to("a", "b"), to("a", "c"), to("b", "c.all")])
    seen: list[Any] = []

    def answer(call: StepCall) -> StepOutcome:
        inputs: Any = call.inputs
        if call.path == "a":
            return StepDone(outputs={"value": {"rows": [{"n": 1}]}})
        if call.path == "b":
            inputs["value"]["rows"][0]["n"] = 2
            inputs["value"]["rows"].append(3)
        seen.append(inputs["value"])
        return echo(call)

    World(plan, script=answer, slots=1).finish()
    assert seen[1] == {"rows": [{"n": 1}]}
