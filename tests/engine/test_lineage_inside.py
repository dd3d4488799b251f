"""Going on inside a container that repeats its body: from an iteration, from a step in it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from apps.executions.engine.codec import decode, encode
from apps.executions.engine.iteration_events import StepIterated
from apps.executions.engine.lineage import effects_of, inherit, step_at
from apps.executions.engine.paths import around, is_kept
from apps.executions.engine.plan import Plan
from apps.executions.engine.ports import StepCall, StepDone, StepFailed, StepOutcome
from apps.executions.engine.seeds import StepGiven
from apps.executions.engine.state import RunStatus
from tests.engine.cases import failing, plan_of, types
from tests.engine.chains import again
from tests.engine.doubles import read
from tests.engine.simulator import START, Script, World, echo
from tests.engine.test_loops import body, repeating
from tests.factories.graphs import a, to

LOOP = [a("s", "keyed"), a("c", "box"), *body("x", "y", x="keyed", y="keyed"), a("e", "keyed")]
LINKS = [to("s", "c"), to("c.item", "x"), to("x", "y"), to("y", "c.next"), to("c", "e")]
NESTED = [
    a("c", "box"),
    *body("x", x="keyed"),
    a("d", "box", parentId="c"),
    *body("y", "z", container="d", y="keyed", z="keyed"),
    *body("w", w="keyed"),
]
WALLS = [
    *(to("c.item", "x"), to("x", "d"), to("d.item", "y"), to("y", "z"), to("z", "d.next")),
    *(to("d", "w"), to("w", "c.next")),
]
TIMES = {"c": 3, "d": 2}


class Seen:
    """What each step was given, and how often."""

    def __init__(self, script: Script = echo) -> None:
        self.inputs: dict[str, dict[str, Any]] = {}
        self.script = script

    def __call__(self, call: StepCall) -> StepOutcome:
        self.inputs[call.path] = dict(call.inputs)
        return self.script(call)


def ended(plan: Plan, script: Callable[[StepCall], StepOutcome] = echo) -> World:
    world = World(plan, script=repeating(TIMES, script))
    world.finish()
    return world


def ran(world: World) -> set[str]:
    """Steps that were executed; containers are only asked."""
    return {path for path, _ in world.attempts if "#" not in path and path[-1] not in TIMES}


def keys(world: World) -> dict[str, int]:
    return {key.split("/", 2)[2]: times for key, times in world.effects.items()}


def test_a_fork_in_an_iteration_keeps_what_is_before_it() -> None:
    first = ended(plan_of(LOOP, LINKS))
    seen = Seen()
    edit = StepGiven(path="c[1]/y", inputs={"value": "edited"})
    second = again(first, redo=("c[1]/y",), given=[edit])
    second.script = repeating(TIMES, seen)
    before = second.folded()
    assert (before.totals.attempts, before.settled) == (0, 6), "what is taken over costs nothing"
    assert second.finish().status is RunStatus.SUCCEEDED
    assert types(second)[:8] == [
        "run.queued",
        "step.given c[1]/y",
        "step.reused s",
        "step.iterated c",
        "step.reused c[0]/x",
        "step.reused c[0]/y",
        "step.iterated c",
        "step.reused c[1]/x",
    ]
    assert ran(second) == {"c[1]/y", "c[2]/x", "c[2]/y", "e"}
    assert seen.inputs["c[1]/y"] == {"value": "edited"}
    assert seen.inputs["c[2]/x"] == {"value": "c[1]/y"}
    assert second.folded().result() == first.folded().result()


def test_a_fork_in_a_loop_in_a_loop_keeps_both_up_to_there() -> None:
    first = ended(plan_of(NESTED, WALLS))
    second = again(first, redo=("c[1]/d[1]/y",))
    assert second.finish().status is RunStatus.SUCCEEDED
    assert ran(second) == {
        *("c[1]/d[1]/y", "c[1]/d[1]/z", "c[1]/w"),
        *("c[2]/x", "c[2]/d[0]/y", "c[2]/d[0]/z", "c[2]/d[1]/y", "c[2]/d[1]/z", "c[2]/w"),
    }
    found = inherit(first.folded(), first.plan, redo=("c[1]/d[1]/y",))
    assert found.opened == {"c": 2, "c[1]/d": 2}
    assert found.kept == ("c[0]/x", "c[0]/d", "c[0]/w", "c[1]/x", "c[1]/d[0]/y", "c[1]/d[0]/z")
    assert found.redone == ("c",)


@pytest.mark.parametrize("path", ["c[0]/x", "c[1]/d", "c[1]/d[1]/z", "c[2]/w"])
def test_a_fork_may_die_at_every_point(path: str) -> None:
    first = ended(plan_of(NESTED, WALLS))
    edit = StepGiven(path=path, inputs={"value": "edited"})
    whole = again(first, redo=(path,), given=[edit])
    whole.finish()
    for point in range(1, whole.points + 1):
        seen = Seen()
        cut = again(first, redo=(path,), given=[edit], cut_at=point)
        cut.script = repeating(TIMES, seen)
        state = cut.finish()
        assert state.status is RunStatus.SUCCEEDED
        assert state.result() == whole.folded().result()
        assert ran(cut) == ran(whole)
        assert not ran(cut) & set(inherit(first.folded(), first.plan, redo=(path,)).kept)


def test_a_fork_of_a_fork_takes_over_what_was_taken_over() -> None:
    first = ended(plan_of(LOOP, LINKS))
    second = again(first, redo=("c[1]/y",))
    second.finish()
    third = again(second, redo=("c[2]/y",))
    assert third.finish().status is RunStatus.SUCCEEDED
    assert ran(third) == {"c[2]/y", "e"}
    events = [one for one in third.events() if isinstance(one, StepIterated)]
    assert [one.run_id for one in events] == ["the source"] * 3


def test_a_retry_goes_on_in_the_iteration_that_failed() -> None:
    def broken(call: StepCall) -> StepOutcome:
        return (failing() if call.path == "c[1]/d[1]/y" else echo)(call)

    first = ended(plan_of(NESTED, WALLS), broken)
    assert first.folded().status is RunStatus.FAILED
    second = again(first)
    second.script = repeating(TIMES)
    assert second.finish().status is RunStatus.SUCCEEDED
    assert sorted(second.effects.values()) == [1] * 17 + [2], "the one that failed, under its key"


def test_a_loop_whose_question_failed_is_asked_again() -> None:
    def confused(call: StepCall) -> StepOutcome:
        if call.node.id == "c" and call.inside is not None and call.inside.index == 1:
            return StepFailed(code="NO", message="no")
        return repeating(TIMES)(call)

    first = World(plan_of(LOOP, LINKS), script=confused)
    assert first.finish().status is RunStatus.FAILED
    second = again(first)
    second.script = repeating(TIMES)
    assert second.finish().status is RunStatus.SUCCEEDED
    assert ran(second) == {"c[2]/x", "c[2]/y", "e"}


def test_where_the_body_behaves_otherwise_it_goes_on_from_there() -> None:
    first = ended(plan_of(LOOP, LINKS))
    mended = [{**one, "configuration": {"say": 1}} if one["id"] == "y" else one for one in LOOP]
    seen = Seen()
    edit = StepGiven(path="c[1]/y", inputs={"value": "edited"})
    second = again(first, plan=plan_of(mended, LINKS), redo=("c[1]/y",), given=[edit])
    second.script = repeating(TIMES, seen)
    assert second.finish().status is RunStatus.SUCCEEDED
    assert ran(second) == {"c[0]/y", "c[1]/x", "c[1]/y", "c[2]/x", "c[2]/y", "e"}
    assert seen.inputs["c[1]/y"] == {"value": "edited"}
    renamed = [{**one, "configuration": {"say": 1}} if one["id"] == "c" else one for one in LOOP]
    assert inherit(first.folded(), plan_of(renamed, LINKS), redo=("c[1]/y",)).opened == {}


def test_a_failure_that_was_let_pass_is_tried_again_and_all_behind_it() -> None:
    def partly(call: StepCall) -> StepOutcome:
        return (failing() if call.path == "c[0]/z" else echo)(call)

    nodes = [*LOOP, a("z", parentId="c", onError="continue")]
    first = ended(plan_of(nodes, LINKS), partly)
    second = again(first, redo=("c[2]/y",))
    second.script = repeating(TIMES)
    assert second.finish().status is RunStatus.SUCCEEDED
    assert "c[0]/z" in ran(second)
    assert "c[0]/y" not in ran(second)
    assert "c[1]/x" in ran(second), "nobody knows what it would have been"


def test_behind_what_runs_again_a_loop_begins_anew() -> None:
    first = ended(plan_of(LOOP, LINKS))
    assert inherit(first.folded(), first.plan, redo=("s",)).opened == {}
    assert inherit(first.folded(), first.plan, redo=("c",)).opened == {}


def test_where_a_path_leads() -> None:
    plan = plan_of(NESTED, WALLS)
    for path, node in {"c": "c", "c[7]/x": "x", "c[0]/d[1]/z": "z"}.items():
        found = step_at(plan, path)
        assert found is not None
        assert found.node.id == node
    for path in ("q", "c[0]/q", "x[0]/y", "q[0]/x", "c/x", "c[1]/x[0]/y"):
        assert step_at(plan, path) is None
    assert list(around("c[1]/d/pay")) == ["c[1]/d/pay", "c[1]/d", "c[1]", "c"]
    assert is_kept("c[1]/d/pay", {"c[1]/d"})
    assert not is_kept("c[1]/dd", {"c[1]/d"})
    assert set(effects_of(plan)) == {"x", "y", "z", "w"}


def test_an_iteration_that_was_taken_over_survives_its_row() -> None:
    event = StepIterated(
        path="c", attempt=1, index=2, values={"item": 1}, started_at=START, run_id="r"
    )
    assert read(encode(event)) == event
    given = StepGiven(path="c[0]/x", inputs={"value": 1})
    state = World(plan_of(LOOP, LINKS)).folded()
    state.apply(decode("step.given", path=given.path, attempt=None, body={"inputs": {"value": 1}}))
    assert state.given == {"c[0]/x": given}, "before there is such a step"


def test_the_rest_of_an_iteration_is_kept_beside_the_fork() -> None:
    nodes = [a("c", "box"), *body("x", "y", "z")]
    links = [to("c.item", "x"), to("c.item", "y"), to("x", "z"), to("y", "c.next")]
    first = World(plan_of(nodes, links), script=repeating({"c": 1}))
    first.finish()
    second = again(first, redo=("c[0]/x",))
    second.finish()
    assert ran(second) == {"c[0]/x", "c[0]/z"}


def test_a_new_generation_counts_in_the_iterations_that_run_again() -> None:
    first = ended(plan_of(LOOP, LINKS))
    given = [
        StepGiven(path="c", generation=2),
        StepGiven(path="c[1]/y", generation=2, inputs={"value": 1}),
        StepGiven(path="e", generation=2),
    ]
    second = again(first, redo=("c[1]/y",), given=given)
    second.script = repeating(TIMES, lambda _: StepDone(outputs={"value": 0}))
    second.finish()
    assert {key for key in keys(second) if key.endswith("/2")} == {
        *("c[1]/y/1/2", "c[2]/x/2/2", "c[2]/y/2/2", "e/0/2"),
    }
    assert set(keys(second).values()) == {1}
