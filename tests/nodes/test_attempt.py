"""What one attempt costs: a step is prepared once, and makes only what it touches."""

from __future__ import annotations

from typing import Any

import pytest

from apps.executions.engine.ports import StepCall, StepFailed
from apps.executions.runner import attempt, configuration, prepared
from apps.executions.sandbox import shared
from apps.workflows.graph.declaration import node_type_of
from apps.workflows.graph.shape import Connection, Node
from tests.nodes import sample_nodes
from tests.nodes.conftest import Bench
from tests.nodes.doubles import step_call

INLINE = node_type_of(sample_nodes.inline)
PARTS = ("GuardedHttp", "StepArtifacts", "WorkDirectory", "SecretBook")


class Counter:
    """How often something was called; passes each call on."""

    def __init__(self, function: Any) -> None:
        self.function = function
        self.count = 0

    def __call__(self, *positional: Any, **named: Any) -> Any:
        self.count += 1
        return self.function(*positional, **named)


@pytest.fixture
def planned(monkeypatch: pytest.MonkeyPatch) -> Counter:
    counter = Counter(configuration.plan)
    monkeypatch.setattr(configuration, "plan", counter)
    return counter


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> dict[str, Counter]:
    counters = {name: Counter(getattr(attempt, name)) for name in PARTS}
    for name, counter in counters.items():
        monkeypatch.setattr(attempt, name, counter)
    return counters


def call_of(configuration: dict[str, Any], **more: Any) -> StepCall:
    return step_call(INLINE, configuration=configuration, **more)


def counts(made: dict[str, Counter]) -> dict[str, int]:
    return {name: counter.count for name, counter in made.items() if counter.count}


def test_a_step_is_planned_once_for_all_its_attempts(node_bench: Bench, planned: Counter) -> None:
    call = call_of({"number": 3})

    outcomes = [node_bench.run(call) for _ in range(5)]

    assert planned.count == 1
    assert {str(outcome.outputs) for outcome in outcomes} == {  # type: ignore[union-attr]
        "{'value': {'number': 3}}"
    }


def test_equal_nodes_of_two_versions_are_not_mixed_up(node_bench: Bench, planned: Counter) -> None:
    for _ in range(2):
        node_bench.run(call_of({"number": 3}))

    assert planned.count == 2


def test_a_node_with_other_connections_is_prepared_again(node_bench: Bench) -> None:
    node = Node(id="step", type=INLINE.type, configuration={"number": 3})
    conditional = Connection(id="c", source="step", target="other", condition="number_of > 1")
    plain = node_bench.run(step_call(INLINE, node=node))
    failed = node_bench.run(step_call(INLINE, node=node, outgoing=(conditional,)))

    assert not isinstance(plain, StepFailed)
    assert isinstance(failed, StepFailed)


def test_what_is_kept_is_bounded(node_bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prepared, "KEPT", 4)
    for number in range(8):
        node_bench.run(call_of({"number": number}))

    assert len(prepared._kept) <= 4


def test_parameters_are_the_attempts_own(node_bench: Bench) -> None:
    call = call_of({"mode": "ok", "number": 1})
    ready = prepared.prepared(call)
    first, second = (
        configuration.read(INLINE, call.node.configuration, text=ready.text) for _ in range(2)
    )

    assert first == second
    assert first is not second


def test_a_step_that_touches_nothing_makes_nothing(
    node_bench: Bench, made: dict[str, Counter], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> Any:
        raise AssertionError("no expression, no sandbox")

    monkeypatch.setattr(shared(), "evaluate", refuse)
    onward = Connection(id="c", source="step", target="other")

    node_bench.run(call_of({"number": 3}, outgoing=(onward,)))

    assert counts(made) == {}


def test_a_step_makes_what_it_touches(node_bench: Bench, made: dict[str, Counter]) -> None:
    node_bench.run(call_of({"mode": "artifact"}))

    assert counts(made) == {"StepArtifacts": 1, "WorkDirectory": 1}


def test_expressions_and_conditions_of_a_step_are_a_call_each(
    node_bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    counter = Counter(shared().evaluate)
    monkeypatch.setattr(shared(), "evaluate", counter)
    outgoing = tuple(
        Connection(id=f"c{n}", source="step", source_port="value", target="x", condition=condition)
        for n, condition in enumerate(["value.number > 1", "value.number < 1"])
    )
    call = call_of(
        {"number": "{{ parameters.a + parameters.b }}"},
        parameters={"a": 1, "b": 2},
        outgoing=outgoing,
    )

    outcome: Any = node_bench.run(call)

    assert outcome.conditions == {"c0": True, "c1": False}
    assert counter.count == 2
