"""A workflow stands in for a step that failed: what is asked, what its end means."""

from __future__ import annotations

import datetime as dt
import json
from typing import Any

import pytest

from apps.executions.engine.asking import unanswered, unhelped
from apps.executions.engine.ports import (
    Decided,
    StepCall,
    StepDone,
    StepFailed,
    StepOutcome,
    StepWaits,
)
from apps.executions.engine.slice_ports import Left
from apps.executions.engine.state import RunStatus
from apps.executions.engine.wait_events import StepAnswer, answer_json, read_answer
from apps.workflows.graph.waits import Wait, WaitKind
from tests.engine.cases import failing, only, plan_of, statuses, types
from tests.engine.simulator import Script, World, echo
from tests.engine.test_loops import failing_in, repeating
from tests.factories.graphs import a, to

CALL: dict[str, Any] = {"do": "fallback", "with": {"workflow": "w"}}
LINKS = [to("a", "b"), to("b", "c")]


def failed(*rules: dict[str, Any], kind: str = "keyed", code: str = "NO") -> World:
    """A run whose second step has failed for good."""
    nodes = [a("a"), a("b", kind, onError=[*rules]), a("c")]
    world = World(plan_of(nodes, LINKS), script=only("b", failing(code, times=1)))
    world.slice()
    return world


def wait_of(world: World) -> Wait:
    (wait,) = world.folded().waiting.values()
    return wait


def told(world: World, outcome: StepDone | StepFailed) -> None:
    """The answer, through its JSON."""
    answer = StepAnswer(path="b", attempt=1, outcome=outcome)
    world.say(read_answer(json.loads(json.dumps(answer_json(answer)))))
    world.slice()


def test_the_workflow_is_asked_for_once_and_its_outputs_are_the_steps() -> None:
    world = failed(CALL)
    assert world.folded().is_waiting
    wait = wait_of(world)
    assert (wait.kind, wait.payload["workflow"]) == (WaitKind.CHILD, "w")
    assert wait.payload["failure"]["code"] == "NO"
    assert wait.payload["ports"] == ["value", "other", "payload", "timeout"]
    assert len([ask for batch in world.batches for ask in batch.change.asks]) == 1
    told(world, StepDone(outputs={"value": 7}))
    assert statuses(world) == {"a": "SUCCEEDED", "b": "SUCCEEDED", "c": "SUCCEEDED"}


@pytest.mark.parametrize(("rules", "state"), [((), "FAILED"), (({"do": "continue"},), "PARTIAL")])
def test_where_it_fails_too_the_next_rule_decides(rules: Any, state: str) -> None:
    world = failed(CALL, *rules)
    outcome = unhelped(wait_of(world), message="Nor did the other.")
    assert (outcome.code, outcome.decided) == ("NO", Decided.UNHELPED)
    told(world, outcome)
    assert world.folded().status == state
    assert statuses(world)["b"] == "FAILED"


def test_where_no_run_can_be_started_the_failure_stands() -> None:
    """As in an item of a map: another question would follow for ever."""
    world = failed(CALL, {"do": "continue"})
    told(world, unanswered(wait_of(world)))
    assert world.folded().status == "PARTIAL"


def test_a_person_is_asked_after_the_workflow() -> None:
    world = failed(CALL, {"do": "escalate"})
    told(world, unhelped(wait_of(world), message=""))
    assert statuses(world)["b"] == "FAILED", "what is decided is not asked again"


def test_a_doubt_that_is_resolved_may_have_it_stand_in() -> None:
    world = failed(CALL, kind="unsafe", code="STEP_TIMEOUT")
    assert wait_of(world).kind is WaitKind.DOUBT
    told(world, StepFailed(code="STEP_TIMEOUT", message="It did not.", decided=Decided.FAIL))
    assert wait_of(world).kind is WaitKind.CHILD
    told(world, StepDone(outputs={}))
    assert world.folded().status == "SUCCEEDED"


def test_a_run_that_stops_asks_nobody() -> None:
    nodes = [a("a"), a("x", "keyed"), a("b", "keyed", onError=[CALL])]
    world = World(
        plan_of(nodes, [to("a", "x"), to("a", "b")]),
        script=lambda call: echo(call) if call.path == "a" else failing("BAD")(call),
    )
    assert world.slice().left is Left.FINISHED
    assert world.folded().status == "FAILED"
    assert not [ask for batch in world.batches for ask in batch.change.asks]


def test_a_wait_that_is_over_may_be_followed_by_another() -> None:
    wait = Wait(kind=WaitKind.APPROVAL, seconds=5)
    nodes = [a("a"), a("b", "keyed", onError=[CALL]), a("c")]
    world = World(plan_of(nodes, LINKS), script=only("b", lambda call: StepWaits(wait=wait)))
    world.slice()
    world.now += dt.timedelta(seconds=6)
    world.slice()
    assert wait_of(world).payload["failure"]["code"] == "WAIT_TIMEOUT"
    kinds = [(ask.kind, ask.seq) for batch in world.batches for ask in batch.change.asks]
    assert [kind for kind, _ in kinds] == ["step.waiting", "step.waiting"]
    assert len({seq for _, seq in kinds}) == 2


def in_loop(script: Script) -> Script:
    return repeating({"c": 2}, script)


BOXED = [to("c", "after"), to("x", "c.next")]


@pytest.mark.parametrize("fails", ["c", "c[0]/x"])
def test_a_workflow_stands_in_for_a_loop_that_failed_or_whose_body_did(fails: str) -> None:
    nodes = [a("c", "box", onError=[CALL]), a("x", parentId="c"), a("after")]
    script = failing_in(fails)
    world = World(plan_of(nodes, BOXED), script=script if fails == "c" else in_loop(script))
    world.slice()
    assert world.folded().is_waiting
    assert wait_of(world).payload["ports"]
    answer = StepAnswer(path="c", attempt=1, outcome=StepDone(outputs={"value": 7}))
    world.say(answer)
    assert world.finish().status is RunStatus.SUCCEEDED
    assert statuses(world)["c"] == "SUCCEEDED"
    assert statuses(world)["after"] == "SUCCEEDED"


def test_where_a_loop_is_not_helped_its_next_rule_decides() -> None:
    nodes = [a("c", "box", onError=[CALL, {"do": "continue"}]), a("x", parentId="c")]
    world = World(plan_of(nodes, BOXED[1:]), script=in_loop(failing_in("c[0]/x")))
    world.slice()
    outcome = unhelped(wait_of(world), message="Nor did the other.")
    world.say(StepAnswer(path="c", attempt=1, outcome=outcome))
    assert world.finish().status is RunStatus.PARTIAL


def test_nobody_stands_in_for_a_loop_inside_one_that_is_over() -> None:
    nodes = [
        a("c", "box", onError="continue"),
        a("d", "box", parentId="c", onError=[CALL]),
        a("x", parentId="d"),
        a("bad", parentId="c"),
    ]

    def both(call: StepCall) -> StepOutcome:
        return failing_in("c[0]/bad" if call.node.id == "bad" else "c[0]/d[0]/x")(call)

    world = World(plan_of(nodes), script=repeating({"c": 1, "d": 1}, both))
    assert world.finish().status is RunStatus.PARTIAL
    assert "step.waiting c[0]/d" not in types(world)
