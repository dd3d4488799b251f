"""Failures that a person decides: effects in doubt, and what a rule escalates."""

from __future__ import annotations

import datetime as dt
import json
from typing import Any

import pytest

from apps.executions.engine.advice import advice, may_pass
from apps.executions.engine.asking import again, given_up
from apps.executions.engine.decide import CancelRequest
from apps.executions.engine.ports import StepCall, StepDone, StepFailed, StepOutcome, StepWaits
from apps.executions.engine.slice_ports import Inbox, Left
from apps.executions.engine.state import RunStatus
from apps.executions.engine.wait_events import StepAnswer, answer_json, read_answer
from apps.workflows.graph.declaration import Wait
from apps.workflows.graph.waits import WaitKind
from tests.engine.cases import failing, only, plan_of, statuses, types
from tests.engine.doubles import Cut
from tests.engine.rescues import LINKS as SHOP_LINKS
from tests.engine.rescues import SHOP, fallback, scripts
from tests.engine.simulator import START, World
from tests.factories.graphs import a, to

ESCALATE: list[dict[str, Any]] = [{"do": "escalate", "with": {"timeoutSeconds": 60}}]
LINKS = [to("a", "b"), to("b", "c")]


def asked(on_error: Any = "fail", kind: str = "unsafe", code: str = "STEP_TIMEOUT") -> World:
    """A run whose second step waits for a person."""
    nodes = [a("a"), a("b", kind, onError=on_error), a("c")]
    world = World(plan_of(nodes, LINKS), script=only("b", failing(code, times=1)))
    assert world.slice().left is Left.PARKED
    return world


def told(world: World, outcome: StepDone | StepFailed, attempt: int = 1) -> None:
    """The word of a person, through its JSON."""
    answer = StepAnswer(path="b", attempt=attempt, outcome=outcome)
    body = json.loads(json.dumps(answer_json(answer)))
    world.say(read_answer(body))


def wait_of(world: World) -> Wait:
    (wait,) = world.folded().waiting.values()
    return wait


def test_a_late_answer_is_not_taken_for_a_persons_word() -> None:
    """An approval comes too late; meanwhile its failure is up to a person, in the same attempt."""
    wait = StepWaits(wait=Wait(kind=WaitKind.APPROVAL, seconds=5.0))
    nodes = [a("a"), a("b", onError=ESCALATE), a("c")]
    world = World(plan_of(nodes, LINKS), script=only("b", lambda _: wait))
    world.slice()
    world.now += dt.timedelta(seconds=6)
    world.slice()
    assert wait_of(world).kind is WaitKind.ESCALATION
    late = StepDone(outputs={"value": "approved"})
    world.say(StepAnswer(path="b", attempt=1, outcome=late, kind=WaitKind.APPROVAL))
    assert world.slice().left is Left.PARKED
    assert statuses(world) == {"a": "SUCCEEDED", "b": "WAITING", "c": "BLOCKED"}
    word = StepDone(outputs={"value": "decided"})
    world.say(StepAnswer(path="b", attempt=1, outcome=word, kind=WaitKind.ESCALATION))
    assert world.finish().status is RunStatus.SUCCEEDED
    assert world.folded().records[1].outputs == word.outputs


@pytest.mark.parametrize("code", ["STEP_TIMEOUT", "PROCESS_DIED", "LIMIT_EXCEEDED"])
def test_an_unsafe_effect_that_may_have_happened_is_in_doubt(code: str) -> None:
    world = asked(code=code)
    assert statuses(world) == {"a": "SUCCEEDED", "b": "IN_DOUBT", "c": "BLOCKED"}
    wait = wait_of(world)
    assert (wait.kind, wait.until) == (WaitKind.DOUBT, None)
    assert wait.payload["failure"]["code"] == code
    assert len([ask for batch in world.batches for ask in batch.change.asks]) == 1


def test_no_retry_answers_a_doubt_not_even_one_that_names_it() -> None:
    retry = {"maxAttempts": 3, "backoffSeconds": 0, "retryOn": ["NODE_CRASHED"]}
    world = World(plan_of([a("b", "unsafe", retry=retry)]), script=failing("NODE_CRASHED"))
    assert world.slice().left is Left.PARKED
    assert (statuses(world), len(world.attempts)) == ({"b": "IN_DOUBT"}, 1)


def test_what_cannot_be_found_out_is_asked_for_again_and_then_in_doubt() -> None:
    retry = {"maxAttempts": 3, "backoffSeconds": 0, "retryOn": ["HTTP_5*"]}
    unfound = failing("EFFECT_IN_DOUBT", retryable=True, details={"find": "HTTP_503"})
    world = World(plan_of([a("b", "reconcilable", retry=retry)]), script=unfound)
    assert world.slice().left is Left.PARKED
    assert (statuses(world), len(world.attempts)) == ({"b": "IN_DOUBT"}, 3)
    assert wait_of(world).kind is WaitKind.DOUBT


def test_what_was_cut_off_at_last_is_asked_for_once_more() -> None:
    seen: list[tuple[int, str | None]] = []

    def cut_off(call: StepCall) -> StepOutcome:
        seen.append((call.attempt, call.unsure))
        return StepFailed(code="NODE_CRASHED", message="no")

    world = World(plan_of([a("b", "reconcilable")]), script=cut_off)
    assert world.finish().status is RunStatus.FAILED
    assert seen == [(1, None), (2, "NODE_CRASHED")]
    keyed = World(plan_of([a("b", "keyed")]), script=cut_off)
    assert keyed.finish().status is RunStatus.FAILED
    assert seen[2:] == [(1, None)]


def test_what_certainly_did_not_happen_is_not_in_doubt() -> None:
    nodes = [a("b", "unsafe")]
    world = World(plan_of(nodes), script=failing("HTTP_400"))
    assert world.finish().status is RunStatus.FAILED


def test_a_rule_that_names_the_doubt_decides_instead_of_a_person() -> None:
    rules = [{"match": {"classes": ["timeout"]}, "do": "continue"}]
    world = World(plan_of([a("b", "unsafe", onError=rules)]), script=failing("STEP_TIMEOUT"))
    assert world.finish().status is RunStatus.PARTIAL


def test_somebody_knows_that_it_happened() -> None:
    world = asked()
    told(world, StepDone(outputs={"value": "seen"}))
    state = world.finish()
    assert state.status is RunStatus.SUCCEEDED
    assert state.inputs_of(state.step("c")) == {"value": "seen"}
    assert world.attempts["b", 1] == 1


def test_somebody_knows_that_it_did_not_and_the_rules_that_follow_decide() -> None:
    world = asked([{"match": {}, "do": "fallback", "with": {"node": "c"}}])
    told(world, given_up(wait_of(world), message="(ann: no)"))
    state = world.finish()
    assert state.status is RunStatus.SUCCEEDED
    assert statuses(world)["b/c"] == "SUCCEEDED"


def test_a_failure_that_stands_says_who_said_so() -> None:
    world = asked()
    told(world, given_up(wait_of(world), message="(ann: no)"))
    state = world.finish()
    assert state.error is not None
    assert (state.status, state.error.message) == (RunStatus.FAILED, "no (ann: no)")


def test_it_runs_again_when_somebody_says_so() -> None:
    world = asked()
    told(world, again(wait_of(world)))
    assert world.finish().status is RunStatus.SUCCEEDED
    assert world.attempts["b", 2] == 1


def test_one_word_counts_and_one_to_an_attempt_that_is_over_does_not() -> None:
    world = asked()
    told(world, again(wait_of(world)))
    world.script = only("b", failing("STEP_TIMEOUT"))
    assert world.slice().left is Left.PARKED
    told(world, StepDone(outputs={}), attempt=1)
    assert world.slice().left is Left.PARKED
    told(world, StepDone(outputs={}), attempt=2)
    assert world.finish().status is RunStatus.SUCCEEDED


def test_a_cancel_and_the_deadline_end_a_run_in_doubt() -> None:
    world = asked()
    world.mail.append(Inbox(cancel=CancelRequest()))
    assert world.finish().status is RunStatus.CANCELED
    late = asked()
    late.deadline_at = START + dt.timedelta(seconds=5)
    late.now = START + dt.timedelta(seconds=6)
    assert late.finish().status is RunStatus.TIMED_OUT


def test_a_run_that_is_ending_asks_nobody() -> None:
    nodes = [a("b", "unsafe"), a("x")]
    world = World(plan_of(nodes), script=only("x", failing()))
    world.patient = {"b": StepFailed(code="PROCESS_DIED", message="no")}
    state = world.finish()
    assert (state.status, statuses(world)["b"]) == (RunStatus.FAILED, "FAILED")


def test_an_effect_cut_in_a_run_that_is_ending_asks_nobody() -> None:
    world = World(plan_of([a("b", "unsafe")]))
    world.cut_before = "b"
    with pytest.raises(Cut):
        world.slice()
    world.mail.append(Inbox(cancel=CancelRequest()))
    assert world.finish().status is RunStatus.CANCELED


def test_a_step_that_never_began_is_not_in_doubt_when_workers_die() -> None:
    world = World(plan_of([a("b", "unsafe")]), crashes=3)
    state = world.finish()
    assert state.error is not None
    assert state.error.code == "WORKER_LOST"


# --- escalation


def test_a_failure_may_wait_for_a_person() -> None:
    world = asked(ESCALATE, kind="keyed", code="NO")
    wait = wait_of(world)
    assert (wait.kind, statuses(world)["b"]) == (WaitKind.ESCALATION, "WAITING")
    assert wait.until is not None
    told(world, StepDone(outputs={}))
    assert world.finish().status is RunStatus.SUCCEEDED
    assert statuses(world)["c"] == "SKIPPED"


def test_a_failure_nobody_decides_in_time_stands_and_the_next_rule_counts() -> None:
    world = asked([*ESCALATE, {"do": "continue"}], kind="keyed", code="NO")
    world.now += dt.timedelta(seconds=61)
    assert world.finish().status is RunStatus.PARTIAL
    assert "step.failed b" in types(world)


def test_retries_come_before_people() -> None:
    node = a("b", "keyed", onError=ESCALATE, retry={"maxAttempts": 2, "backoffSeconds": 0})
    world = World(plan_of([node]), script=failing("NO", times=1, retryable=True))
    assert world.finish().status is RunStatus.SUCCEEDED


def test_an_escalation_in_a_run_that_is_ending_is_a_failure() -> None:
    nodes = [a("b", onError=ESCALATE), a("x")]
    world = World(plan_of(nodes), script=only("x", failing()))
    world.patient = {"b": StepFailed(code="NO", message="no")}
    state = world.finish()
    assert (state.status, statuses(world)["b"]) == (RunStatus.FAILED, "FAILED")


def test_a_step_that_fails_again_calls_its_fallback_again() -> None:
    nodes = [
        a("b", onError=fallback("f")),
        a("f", onError=[{"do": "escalate"}]),
    ]
    world = World(plan_of(nodes), script=failing())
    assert world.slice().left is Left.PARKED
    (index,) = world.folded().waiting
    assert world.folded().steps[index].path == "b/f"


def test_every_failure_has_its_advice() -> None:
    assert "decide" in str(advice("EFFECT_IN_DOUBT"))
    assert "by hand" in str(advice("COMPENSATION_FAILED"))
    assert advice("X", retryable=True) is not None
    assert advice("X") is None
    assert (may_pass("HTTP_503"), may_pass("HTTP_400")) == (True, False)


def test_a_step_without_rules_fails_its_run() -> None:
    step = plan_of([a("b")]).step("b")
    assert step.rule("X", retryable=True).handling.value == "fail"


def test_a_compensation_may_wait_for_a_person_for_a_while() -> None:
    rules = [*ESCALATE, {"do": "continue"}]
    nodes = [*SHOP[:4], a("refund", "keyed", onError=rules)]
    script = scripts(reserve=failing("SOLD_OUT"), refund=failing("SHUT"))
    state = World(plan_of(nodes, SHOP_LINKS), script=script).finish()
    assert state.error is not None
    assert state.error.details["notUndone"] == ["charge"]
