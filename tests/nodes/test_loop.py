"""control.loop: when it repeats, what its condition sees, and a whole workflow around it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from apps.executions.engine.plan import Plan, compile_plan
from apps.executions.engine.state import RunStatus
from apps.nodes.control import loop
from apps.nodes.testing import FakeContext
from apps.workflows.graph import catalogue
from apps.workflows.graph.declaration import Iteration, NodeError, Repeat
from apps.workflows.graph.document import parse
from apps.workflows.graph.parameters import resolve
from apps.workflows.graph.validate import read_and_validate
from tests.engine.cases import types
from tests.engine.simulator import World
from tests.nodes.conftest import Bench, Receiver
from tests.nodes.walk import load


def turn(path: Path, ended: Iteration | None, inputs: dict[str, Any], **parameters: Any) -> Any:
    given = loop.Parameters.read(parameters)
    return loop.loop(given, inputs, FakeContext(path, iteration=ended))


def test_it_begins_with_what_came_in(tmp_path: Path) -> None:
    assert turn(tmp_path, None, {"value": 7}) == Repeat({"item": 7, "index": 0})
    assert turn(tmp_path, None, {}) == Repeat({"item": None, "index": 0})


def test_it_carries_what_was_led_to_next(tmp_path: Path) -> None:
    ended = Iteration(index=4, item="old")
    assert turn(tmp_path, ended, {"next": "new"}) == Repeat({"item": "new", "index": 5})
    assert turn(tmp_path, ended, {}) == Repeat({"item": "old", "index": 5})
    assert turn(tmp_path, ended, {"next": 1}, until=True) == {"value": 1, "iterations": 5}


def test_it_ends_at_its_limit(tmp_path: Path) -> None:
    ended = Iteration(index=2, item="old")
    with pytest.raises(NodeError) as refused:
        turn(tmp_path, ended, {}, max_iterations=3)
    assert refused.value.code == "LOOP_LIMIT"
    left = turn(tmp_path, ended, {}, max_iterations=3, at_limit="leave")
    assert left == {"value": "old", "iterations": 3}
    assert turn(tmp_path, ended, {}, max_iterations=3, until=True)["iterations"] == 3


def plan_of(document: Any) -> Plan:
    return compile_plan(parse(document), catalogue.INSTALLED)


def drawn(*, until: str, outer: dict[str, Any] | None = None) -> dict[str, Any]:
    """A loop in a loop: the inner condition sees inner and outer nodes."""
    script = {
        "type": "logic.python",
        "configuration": {"source": "result = n + 1"},
        "inputs": [{"name": "n", "dataType": "any", "required": True}],
    }
    return {
        "schemaVersion": 1,
        "name": "Nested",
        "type": "dataPipeline",
        "nodes": [
            {"id": "one", "type": "input.constant", "configuration": {"value": 1}},
            {"id": "outer", "type": "control.loop", "configuration": outer or {}},
            {"id": "twice", "parentId": "outer", **script},
            {
                "id": "inner",
                "type": "control.loop",
                "parentId": "outer",
                "configuration": {"until": until, "max_iterations": "{{ index + 3 }}"},
            },
            {"id": "add", "parentId": "inner", **script},
        ],
        "connections": [
            {"source": s, "sourcePort": sp, "target": t, "targetPort": tp}
            for s, sp, t, tp in (
                ("one", "value", "outer", "value"),
                ("outer", "item", "twice", "n"),
                ("twice", "result", "inner", "value"),
                ("inner", "item", "add", "n"),
                ("add", "result", "inner", "next"),
                ("inner", "value", "outer", "next"),
            )
        ],
    }


def test_conditions_see_the_iteration_that_has_ended(node_bench: Bench) -> None:
    outer = {"until": "{{ index == 1 and nodes.inner.iterations == 2 and item > 1 }}"}
    until = "{{ nodes.add.result >= nodes.twice.result + 2 and item > 1 and index >= 0 }}"
    document, report = read_and_validate(drawn(until=until, outer=outer), catalogue.INSTALLED)
    assert document is not None
    assert not report.issues, report.issues
    world = World(compile_plan(document, catalogue.INSTALLED), script=node_bench.run)
    state = world.finish()
    assert (state.status, state.error) == (RunStatus.SUCCEEDED, None)
    assert state.result() == {"outer": {"value": 7, "iterations": 2}}
    assert "step.completed outer[1]/inner[1]/add" in types(world)


def test_other_parameters_of_a_loop_see_what_is_around_it(node_bench: Bench) -> None:
    world = World(plan_of(drawn(until="{{ False }}")), script=node_bench.run)
    error = world.finish().error
    assert error is not None
    # index + 3 in the outer loop's first iteration: three of the inner one.
    assert (error.code, types(world).count("step.iterated outer[0]/inner")) == ("LOOP_LIMIT", 3)


def test_a_condition_that_fails_is_the_loops_failure(node_bench: Bench) -> None:
    world = World(plan_of(drawn(until="{{ nodes.add.result > 'a' }}")), script=node_bench.run)
    error = world.finish().error
    assert error is not None
    assert error.path == "outer[0]/inner"


@pytest.mark.parametrize(
    ("until", "code"),
    [
        ("{{ nodes.outer.value }}", "EXPRESSION_NODE_NOT_BEFORE"),
        ("{{ nodes.twice.nothing }}", "EXPRESSION_PORT_UNKNOWN"),
        ("{{ nodes.gone.value }}", "EXPRESSION_NODE_UNKNOWN"),
    ],
)
def test_names_a_condition_cannot_see_are_refused(until: str, code: str) -> None:
    _, report = read_and_validate(drawn(until=until), catalogue.INSTALLED)
    assert code in {issue.code for issue in report.issues}


def test_only_the_condition_sees_the_body() -> None:
    raw = drawn(until="{{ True }}", outer={"max_iterations": "{{ nodes.twice.result }}"})
    _, report = read_and_validate(raw, catalogue.INSTALLED)
    assert "EXPRESSION_NODE_NOT_BEFORE" in {issue.code for issue in report.issues}


def test_a_root_is_found_and_every_guess_delivered_once(
    node_bench: Bench, receiver: Receiver
) -> None:
    document = load("root")
    given, _ = resolve(
        document.configuration.parameters, {"number": 9.0, "sink_url": f"{receiver.url}/in"}
    )
    world = World(compile_plan(document, catalogue.INSTALLED), script=node_bench.run)
    world.parameters = given
    state = world.finish()
    assert (state.status, state.error) == (RunStatus.SUCCEEDED, None)
    assert state.result()["root"] == {"text": "The root of 9.0 is 3.0."}
    events = [seen["json"]["event"] for seen in receiver.seen]
    assert events == [f"guess.{index}" for index in range(len(events))]
    assert len({seen["json"]["id"] for seen in receiver.seen}) == len(events) > 3
