"""Sample data and tests of single nodes inside containers: loops, maps, loops in items."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from apps.executions.engine.calls import given_below, given_to, said_of_item
from apps.executions.engine.codec import encode
from apps.executions.engine.fold import Around, RunState, moved
from apps.executions.engine.frames import Frame
from apps.executions.engine.history import Event, RunQueued
from apps.executions.engine.lineage import path_to
from apps.executions.engine.paths import node_of
from apps.executions.engine.ports import StepCall, StepFailed, StepOutcome
from apps.executions.engine.seeds import Follows, ItemGiven, Origin, StepGiven
from apps.executions.engine.state import RunStatus
from tests.engine.cases import plan_of, statuses
from tests.engine.doubles import read
from tests.engine.simulator import World, echo
from tests.engine.test_lineage_inside import NESTED, TIMES, WALLS
from tests.engine.test_loops import repeating
from tests.factories.graphs import a

PIN = StepGiven(path="y", outputs={"value": "pinned"})


def pinned(call: StepCall) -> StepOutcome:
    return call.given or repeating(TIMES)(call)


@pytest.mark.parametrize("cut_at", [None, 5, 12, 23])
def test_a_pin_counts_in_every_iteration(cut_at: int | None) -> None:
    world = World(plan_of(NESTED, WALLS), script=pinned, cut_at=cut_at)
    world.rows.append(encode(PIN))
    state = world.finish()
    assert state.status is RunStatus.SUCCEEDED
    origins = {step.path: state.records[step.index].origin for step in state.steps}
    given = {path for path, origin in origins.items() if origin is Origin.PINNED}
    assert given == {f"c[{c}]/d[{d}]/y" for c in range(3) for d in range(2)}
    assert state.records[state.step("c[2]/d[1]/y").index].outputs == {"value": "pinned"}


def test_a_pinned_container_does_not_repeat_its_body() -> None:
    world = World(plan_of(NESTED, WALLS), script=pinned)
    world.rows.append(encode(StepGiven(path="d", outputs={"value": 7})))
    assert world.finish().status is RunStatus.SUCCEEDED
    assert not any("/d[" in path for path, _ in world.attempts)


def test_a_pin_counts_for_every_item() -> None:
    plan = plan_of([a("rows", "each"), a("y", parentId="rows")], [])
    body = plan.bodies["rows"]
    in_memory = RunState(body, Frame(prefix="rows[3]/", generation=4))
    in_memory.given.update({"y": PIN})
    said = given_to(in_memory, "y")
    assert said == PIN
    assert given_to(in_memory, "z").generation == 4
    item = ItemGiven(path="rows", attempt=1, run_id="above", head=3, index=3, item=7, generation=4)
    events: list[Event] = [RunQueued(trigger=""), item]
    run = moved(RunState(plan), events, above=lambda _: Around(given={"y": PIN}))
    assert given_below(run, "rows", 7) == {"y": PIN}
    assert given_to(run, "z").generation == 4
    run.given["rows"] = StepGiven(path="rows", generation=9)
    assert given_to(run, "rows[0]/y") == replace(PIN, path="rows[0]/y", generation=9)


class Alone:
    """One node of a body that is tested."""

    def __init__(self, path: str, **given: Any) -> None:
        self.calls: list[StepCall] = []
        self.world = World(plan_of(NESTED, WALLS), script=self.note)
        alone = StepGiven(path=path, alone=True, item={"n": 7}, **given)
        others = [one for one in ("x", "y") if one != node_of(path)]
        pins = [StepGiven(path=one, outputs={"value": one.upper()}) for one in others]
        self.world.rows += [encode(one) for one in (alone, *pins)]

    def note(self, call: StepCall) -> StepOutcome:
        self.calls.append(call)
        return echo(call)


@pytest.mark.parametrize("cut_at", [None, 1, 2, 3])
def test_a_node_of_a_body_runs_alone(cut_at: int | None) -> None:
    test = Alone("c[0]/d[4]/z", inputs={"value": "sample"})
    test.world.cut_at = cut_at
    state = test.world.finish()
    assert state.status is RunStatus.SUCCEEDED
    call = test.calls[-1]
    assert {one.path for one in test.calls} == {"c[0]/d[4]/z"}
    assert (call.inputs, call.item, call.index) == ({"value": "sample"}, {"n": 7}, 4)
    names = {name: dict(ports) for name, ports in call.upstream.items()}
    assert names == {"y": {"value": "Y"}, "x": {"value": "X"}}
    assert statuses(test.world)["c"] == "CANCELED"


def test_the_sample_comes_by_the_wall() -> None:
    test = Alone("c[2]/x")
    assert test.world.finish().status is RunStatus.SUCCEEDED
    assert test.calls[0].inputs == {"value": {"n": 7}}


def test_a_test_that_fails_fails_its_run() -> None:
    test = Alone("c[2]/x")
    test.world.script = lambda _: StepFailed(code="NO", message="no")
    state = test.world.finish()
    assert (state.status, state.error and state.error.path) == (RunStatus.FAILED, "c[2]/x")
    assert statuses(test.world)["c"] == "CANCELED"


def test_the_last_step_of_a_body_ends_the_test() -> None:
    world = World(plan_of([a("c", "box"), a("x", parentId="c")], []))
    world.rows.append(encode(StepGiven(path="c[0]/x", alone=True)))
    assert world.finish().status is RunStatus.SUCCEEDED
    assert sorted(world.attempts) == [("c[0]/x", 1)], "nobody asks the container what follows"


def test_where_a_node_stands() -> None:
    plan = plan_of(NESTED, WALLS)
    found = {name: path_to(plan, name, index=3) for name in ("c", "x", "z", "nowhere")}
    assert found == {"c": "c", "x": "c[3]/x", "z": "c[0]/d[3]/z", "nowhere": None}


def test_a_sample_survives_its_row() -> None:
    seed = StepGiven(path="c[0]/x", alone=True, item=[1], inputs={})
    assert read(encode(seed)) == seed


def test_what_is_said_of_an_item_is_for_it_alone() -> None:
    plan = plan_of([a("rows", "each"), a("y", parentId="rows")], [])
    state = World(plan).folded()
    follows = Follows(history=[["run.queued", None, None, None]])
    state.given = {
        "rows": StepGiven(path="rows", generation=2),
        "rows[3]": StepGiven(path="rows[3]", generation=5, follows=follows),
        "rows[3]/y": StepGiven(path="rows[3]/y", generation=5, inputs={"value": 1}),
        "x": StepGiven(path="x", outputs={"value": "X"}),
    }
    assert said_of_item(state, "rows", 3).follows == follows
    assert (said_of_item(state, "rows", 4).generation, given_below(state, "rows", 4)) == (
        2,
        {"x": state.given["x"]},
    )
    assert given_below(state, "rows", 3) == {
        "x": state.given["x"],
        "y": StepGiven(path="y", generation=5, inputs={"value": 1}),
    }
    bare = World(plan).folded()
    assert (said_of_item(bare, "rows", 0).generation, given_below(bare, "rows", 0)) == (1, {})


@pytest.mark.parametrize(
    "follows",
    [
        Follows(history=[["step.reused", "x", 1, "{}"]]),
        Follows(run_id="r", kept=("x",), opened={"c": 2}, maps=("m",), but={"m": 3}, failed=("m",)),
    ],
)
def test_what_an_item_goes_on_from_survives_its_rows(follows: Follows) -> None:
    said = StepGiven(path="rows[3]", generation=2, follows=follows)
    assert read(encode(said)) == said
    item = ItemGiven(
        path="rows", attempt=1, run_id="r", head=1, index=3, item=None, follows=follows
    )
    assert read(encode(item)) == item
