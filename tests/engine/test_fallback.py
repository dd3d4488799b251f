"""Who stands in for a step that failed, with what, and where its outputs leave."""

from __future__ import annotations

from typing import Any

import pytest

from apps.executions.engine.ports import StepCall, StepDone, StepOutcome
from apps.executions.engine.state import RunStatus
from tests.engine.cases import plan_of, statuses, types
from tests.engine.rescues import fallback, no, scripts, status
from tests.engine.simulator import World, echo
from tests.factories.graphs import a, to


def test_a_fallback_takes_the_inputs_and_leaves_by_the_ports_of_whom_it_stands_in_for() -> None:
    seen: dict[str, Any] = {}

    def cheap(call: StepCall) -> StepOutcome:
        seen.update(inputs=call.inputs, upstream=dict(call.upstream), key=call.idempotency_key)
        return StepDone(outputs={"value": "cheap"}, conditions={"dear-after": True})

    nodes = [a("s"), a("dear", "keyed", onError=fallback("cheap")), a("cheap", "picky"), a("after")]
    links = [to("s", "dear"), to("s", "dear.all"), to("dear", "after", condition="{{ value }}")]
    world = World(plan_of(nodes, links), script=scripts(dear=no(), cheap=cheap))
    state = world.finish()
    assert state.status is RunStatus.SUCCEEDED
    assert seen["inputs"] == {"value": "s", "all": ["s"]}
    assert seen["upstream"] == {"s": {"value": "s"}}
    assert "/dear/cheap/" in seen["key"]
    assert statuses(world) == {
        "s": "SUCCEEDED",
        "dear": "FAILED",
        "cheap": "CANCELED",
        "after": "SUCCEEDED",
        "dear/cheap": "SUCCEEDED",
    }
    assert state.result() == {"after": {"value": "after"}}


def test_what_a_fallback_gave_is_read_under_the_name_of_whom_it_stands_in_for() -> None:
    seen: dict[str, Any] = {}

    def after(call: StepCall) -> StepOutcome:
        seen.update(inputs=call.inputs, upstream=dict(call.upstream))
        return echo(call)

    nodes = [a("dear", onError=fallback("cheap")), a("cheap"), a("after")]
    world = World(plan_of(nodes, [to("dear", "after")]), script=scripts(dear=no(), after=after))
    assert world.finish().status is RunStatus.SUCCEEDED
    assert seen == {
        "inputs": {"value": "dear/cheap"},
        "upstream": {"dear": {"value": "dear/cheap"}},
    }


def test_a_fallback_is_the_result_where_nothing_follows() -> None:
    nodes = [a("dear", onError=fallback("cheap")), a("cheap")]
    world = World(plan_of(nodes), script=scripts(dear=no()))
    assert world.finish().result() == {"dear": {"value": "dear/cheap"}}


def test_nobody_calls_what_is_on_call_and_so_it_is_no_part_of_the_run() -> None:
    nodes = [a("dear", onError=fallback("cheap")), a("cheap")]
    world = World(plan_of(nodes))
    state = world.finish()
    assert (state.status, state.result()) == (RunStatus.SUCCEEDED, {"dear": {"value": "dear"}})
    assert types(world)[-2:] == ["step.skipped cheap", "run.succeeded"]
    assert not world.ran("cheap")


def test_two_may_have_the_same_fallback() -> None:
    nodes = [a("x", onError=fallback("cheap")), a("y", onError=fallback("cheap")), a("cheap")]
    world = World(plan_of(nodes), script=scripts(x=no(), y=no()))
    assert world.finish().result() == {"x": {"value": "x/cheap"}, "y": {"value": "y/cheap"}}


def test_a_fallback_may_have_a_fallback() -> None:
    nodes = [
        a("dear", onError=fallback("cheap")),
        a("cheap", onError=fallback("free")),
        a("free"),
        a("after"),
    ]
    world = World(plan_of(nodes, [to("dear", "after")]), script=scripts(dear=no(), cheap=no()))
    assert world.finish().status is RunStatus.SUCCEEDED
    assert status(world, "dear/cheap/free") == "SUCCEEDED"
    assert world.folded().inputs_of(world.folded().step("after")) == {"value": "dear/cheap/free"}


@pytest.mark.parametrize(
    ("handling", "run", "after"),
    [("fail", "FAILED", "CANCELED"), ("continue", "PARTIAL", "SKIPPED")],
)
def test_a_fallback_fails_as_any_step_does(handling: str, run: str, after: str) -> None:
    nodes = [a("dear", onError=fallback("cheap")), a("cheap", onError=handling), a("after")]
    script = scripts(dear=no(), cheap=no("WORSE"))
    world = World(plan_of(nodes, [to("dear", "after")]), script=script)
    state = world.finish()
    assert state.status.value == run
    assert status(world, "after") == after
    assert state.error is None or state.error.code == "WORSE"


def test_the_failure_of_a_fallback_may_leave_by_the_error_port_of_whom_it_stands_in_for() -> None:
    nodes = [a("dear", onError=fallback("cheap")), a("cheap", onError="route"), a("mend")]
    links = [to("dear.error", "mend")]
    world = World(plan_of(nodes, links), script=scripts(dear=no(), cheap=no("WORSE")))
    assert world.finish().status is RunStatus.SUCCEEDED
    given: Any = world.folded().inputs_of(world.folded().step("mend"))["value"]
    assert (given["code"], given["nodeId"]) == ("WORSE", "dear/cheap")


def test_a_single_value_becomes_a_list_where_the_fallback_takes_several() -> None:
    nodes = [
        a("s"),
        a("dear", onError=fallback("cheap"), configuration={"fallback": 1}),
        a("cheap", "picky"),
    ]
    plan = plan_of(nodes, [to("s", "dear.value")])
    world = World(plan, script=scripts(dear=no()))
    state = world.finish()
    copy = state.step("dear/cheap")
    assert copy.multiple == {"all"}
    assert state.inputs_of(copy) == {"value": "s"}
