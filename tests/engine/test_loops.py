"""A container that repeats its body: what opens, what is seen inside, how it ends."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from apps.executions.engine.codec import encode
from apps.executions.engine.fold import RunState
from apps.executions.engine.graph import UNROLLED_LIMIT
from apps.executions.engine.history import RunQueued, RunStarted
from apps.executions.engine.iteration_events import StepIterated
from apps.executions.engine.ports import (
    StepCall,
    StepDone,
    StepFailed,
    StepOutcome,
    StepRepeats,
    Usage,
)
from apps.executions.engine.state import IllegalTransition, RunStatus
from tests.engine.cases import plan_of, statuses, types
from tests.engine.simulator import START, Script, World, echo
from tests.factories.graphs import a, to


def repeating(times: dict[str, int], other: Script = echo) -> Script:
    """Containers open their body so often; what is carried is counted up by one."""

    def answer(call: StepCall) -> StepOutcome:
        wanted = times.get(call.node.id)
        if wanted is None:
            return other(call)
        inside = call.inside
        index = 0 if inside is None else inside.index + 1
        carried = None if inside is None else inside.inputs.get("next")
        if index < wanted:
            return StepRepeats(values={"item": carried, "index": index})
        return StepDone(outputs={"value": carried})

    return answer


def body(*names: str, container: str = "c", **kinds: str) -> list[dict[str, Any]]:
    return [a(name, kinds.get(name, "pure"), parentId=container) for name in names]


LOOP = [a("s"), a("c", "box"), *body("x", "y"), a("e")]
LINKS = [to("s", "c"), to("c.item", "x"), to("x", "y"), to("y", "c.next"), to("c", "e")]


def test_a_loop_opens_its_body_again_and_again() -> None:
    world = World(plan_of(LOOP, LINKS), script=repeating({"c": 2}))
    assert world.finish().status is RunStatus.SUCCEEDED
    assert types(world) == [
        "run.queued",
        "run.started",
        "step.completed s",
        "step.iterated c",
        "step.completed c[0]/x",
        "step.completed c[0]/y",
        "step.iterated c",
        "step.completed c[1]/x",
        "step.completed c[1]/y",
        "step.completed c",
        "step.completed e",
        "run.succeeded",
    ]
    state = world.folded()
    assert state.result() == {"e": {"value": "e"}}
    assert (state.records[1].attempt, state.records[1].iterations) == (1, 2)
    assert state.settled == 9
    assert state.totals.attempts == 9


def test_a_run_without_a_loop_shares_its_plan() -> None:
    plan = plan_of([a("s"), a("e")], [to("s", "e")])
    first, second = RunState(plan), RunState(plan)
    assert first.steps is second.steps is plan.steps
    assert first.positions is plan.positions
    opened = World(plan_of(LOOP, LINKS), script=repeating({"c": 1}))
    opened.finish()
    assert [step.path for step in opened.plan.steps] == ["s", "c", "e"]
    assert list(opened.plan.positions) == ["s", "c", "e"]


def test_what_a_step_of_a_body_sees() -> None:
    calls: dict[str, StepCall] = {}
    reads: dict[str, dict[str, Any]] = {}

    def watch(call: StepCall) -> StepOutcome:
        calls[call.path] = call
        reads[call.path] = {name: dict(ports) for name, ports in call.upstream.items()}
        return echo(call)

    nodes = [
        a("s"),
        a("c", "box"),
        *body("x"),
        a("d", "box", parentId="c"),
        *body("y", "z", container="d"),
    ]
    links = [to("s", "c"), to("c.index", "x"), to("x", "d"), to("d.index", "y"), to("y", "z")]
    links += [to("z", "d.next"), to("d", "c.next")]
    world = World(plan_of(nodes, links), script=repeating({"c": 2, "d": 2}, watch))
    assert world.finish().status is RunStatus.SUCCEEDED
    z = calls["c[1]/d[1]/z"]
    assert (z.index, z.item) == (1, "c[1]/d[0]/z")
    assert "/c[1]/d[1]/z/1/" in z.idempotency_key
    assert reads["c[1]/d[1]/z"] == {
        "y": {"value": "c[1]/d[1]/y"},
        "x": {"value": "c[1]/x"},
        "s": {"value": "s"},
    }
    assert calls["c[1]/d[1]/y"].inputs == {"value": 1}
    assert world.folded().records[1].outputs == {"value": "c[1]/d[1]/z"}


def test_what_a_container_sees_of_an_iteration() -> None:
    seen: list[tuple[Any, ...]] = []

    def watch(call: StepCall) -> StepOutcome:
        if call.node.id != "c":
            return echo(call)
        inside = call.inside
        if inside is None:
            return StepRepeats(values={"item": 7, "index": 0})
        names = {name: dict(ports) for name, ports in inside.upstream.items()}
        seen.append((inside.index, inside.item, inside.inputs, names))
        return StepDone(outputs={"value": dict(call.inputs)})

    World(plan_of(LOOP, LINKS), script=watch).finish()
    x, y = {"value": "c[0]/x"}, {"value": "c[0]/y"}
    assert seen == [(0, 7, {"next": "c[0]/y"}, {"x": x, "y": y, "s": {"value": "s"}})]


def test_an_empty_body_repeats_too() -> None:
    world = World(plan_of([a("c", "box")]), script=repeating({"c": 3}))
    assert world.finish().status is RunStatus.SUCCEEDED
    assert types(world).count("step.iterated c") == 3


def failing_in(path: str, *, code: str = "NO") -> Script:
    def answer(call: StepCall) -> StepOutcome:
        if call.path == path:
            return StepFailed(code=code, message="no")
        return echo(call)

    return answer


def test_a_failure_in_a_body_is_the_containers() -> None:
    script = repeating({"c": 3}, failing_in("c[1]/x"))
    world = World(plan_of(LOOP, LINKS), script=script)
    state = world.finish()
    assert state.status is RunStatus.FAILED
    assert state.error is not None
    assert (state.error.code, state.error.path) == ("NO", "c[1]/x")
    assert types(world)[-3:] == ["step.failed c[1]/x", "step.failed c", "run.failed"]
    assert statuses(world)["c[1]/y"] == "CANCELED"


def test_a_container_decides_what_its_failure_means() -> None:
    nodes = [a("c", "box", onError="route"), *body("x", "y"), a("e"), a("rescue")]
    links = [to("x", "y"), to("y", "c.next"), to("c", "e"), to("c.error", "rescue")]
    script = repeating({"c": 3}, failing_in("c[0]/x"))
    world = World(plan_of(nodes, links), script=script)
    assert world.finish().status is RunStatus.SUCCEEDED
    assert (statuses(world)["e"], statuses(world)["rescue"]) == ("SKIPPED", "SUCCEEDED")
    nodes[0] = a("c", "box", onError="continue")
    world = World(plan_of(nodes[:-1], links[:-1]), script=script)
    assert world.finish().status is RunStatus.PARTIAL


def test_a_failure_goes_out_through_every_wall() -> None:
    nodes = [
        a("c", "box", onError="continue"),
        a("d", "box", parentId="c"),
        a("beside", parentId="c"),
        a("after", parentId="c"),
        *body("x", container="d"),
    ]
    links = [to("d", "after"), to("beside", "after.all")]
    script = repeating({"c": 1, "d": 2}, failing_in("c[0]/d[1]/x"))
    world = World(plan_of(nodes, links), script=script)
    assert world.finish().status is RunStatus.PARTIAL
    assert [one for one in types(world) if "failed" in one] == [
        "step.failed c[0]/d[1]/x",
        "step.failed c[0]/d",
        "step.failed c",
    ]
    assert statuses(world)["c[0]/after"] == "CANCELED"


def test_what_flies_comes_home_before_the_container_fails() -> None:
    nodes = [a("c", "box", onError="continue"), *body("x", "slow", "after"), a("e")]
    links = [to("slow", "after"), to("e", "c")]
    script = repeating({"c": 2}, failing_in("c[0]/x"))
    world = World(plan_of(nodes, links), script=script, seconds={"c[0]/slow": 5})
    assert world.finish().status is RunStatus.PARTIAL
    settled = [one for one in types(world) if one.startswith(("step.completed", "step.failed"))]
    assert settled == [
        "step.completed e",
        "step.failed c[0]/x",
        "step.completed c[0]/slow",
        "step.failed c",
    ]


def test_nothing_starts_or_is_retried_in_a_broken_body() -> None:
    # The retry comes due while the step that was asked to stop still runs.
    retry = {"maxAttempts": 5, "backoffSeconds": 3}
    nodes = [
        a("c", "box", onError="continue"),
        *body("x", "slow"),
        a("again", parentId="c", retry=retry),
        a("late", parentId="c", retry=retry),
        a("off", parentId="c", disabled=True),
    ]

    def script(call: StepCall) -> StepOutcome:
        if call.path in ("c[0]/again", "c[0]/late"):
            return StepFailed(code="AGAIN", message="no", retryable=True)
        return failing_in("c[0]/x")(call)

    seconds = {"c[0]/slow": 50, "c[0]/x": 0.1, "c[0]/late": 2}
    world = World(plan_of(nodes), script=repeating({"c": 2}, script), seconds=seconds)
    assert world.finish().status is RunStatus.PARTIAL
    assert types(world).count("step.attempt_failed c[0]/again") == 1
    assert "step.failed c[0]/late" in types(world)
    assert statuses(world)["c[0]/again"] == "CANCELED"


def test_a_failure_of_the_container_itself_may_be_retried() -> None:
    tries: list[int] = []

    def script(call: StepCall) -> StepOutcome:
        if call.node.id == "c" and call.inside is not None and call.inside.index == 1:
            tries.append(call.attempt)
            if len(tries) < 3:
                return StepFailed(code="BUSY", message="no", retryable=True)
        return repeating({"c": 3})(call)

    nodes = [a("c", "box", retry={"maxAttempts": 3, "backoffSeconds": 0}), *body("x")]
    world = World(plan_of(nodes, [to("x", "c.next")]), script=script)
    assert world.finish().status is RunStatus.SUCCEEDED
    assert tries == [1, 2, 3]


def test_a_loop_may_not_open_steps_without_end() -> None:
    names = [f"n{i}" for i in range(1000)]
    plan = plan_of([a("c", "box"), *body(*names)])
    state = World(plan, script=repeating({"c": 99}), slots=1000).finish()
    assert state.status is RunStatus.FAILED
    assert state.error is not None
    assert state.error.code == "STEP_LIMIT"
    assert state.unrolled == UNROLLED_LIMIT


def test_a_run_that_stops_closes_what_is_open() -> None:
    nodes = [a("c", "box"), *body("x"), a("bad")]
    script = repeating({"c": 9}, failing_in("bad"))
    world = World(plan_of(nodes), script=script, seconds={"bad": 0.5, "c[1]/x": 1})
    assert world.finish().status is RunStatus.FAILED
    assert statuses(world)["c"] == "CANCELED"
    assert not world.folded().iterating


@pytest.mark.parametrize("usage", [Usage(), Usage(cpu_seconds=0.5)])
def test_the_event_survives_its_row(usage: Usage) -> None:
    event = StepIterated(
        path="c",
        attempt=1,
        index=3,
        values={"item": [1], "index": 3},
        started_at=START,
        usage=usage,
    )
    row = encode(event)
    assert row.type == "step.iterated"
    world = World(plan_of(LOOP, LINKS))
    world.rows.append(row)
    assert world.events()[-1] == event


def test_a_long_turn_is_announced_and_its_cost_counted() -> None:
    def script(call: StepCall) -> StepOutcome:
        outcome = repeating({"c": 2})(call)
        return replace(outcome, usage=Usage(cost_minor=3)) if call.node.id == "c" else outcome

    world = World(plan_of(LOOP, LINKS), script=script, seconds={"c": 2})
    assert world.finish().totals.cost_minor == 9
    assert types(world).count("step.started c") == 3


def test_a_dispatched_container_opens_its_body_too() -> None:
    nodes = [a("c", "box", resources={"pool": "cpu"}), *body("x")]
    world = World(plan_of(nodes, [to("x", "c.next")]), script=repeating({"c": 2}))
    assert world.finish().status is RunStatus.SUCCEEDED
    assert types(world).count("step.iterated c") == types(world).count("step.dispatched c") - 1 == 2


def test_two_loops_are_open_side_by_side() -> None:
    nodes = [
        a("c", "box", onError="continue"),
        *body("x"),
        a("d", "box"),
        *body("y", container="d"),
    ]
    script = repeating({"c": 2, "d": 2}, failing_in("c[0]/x"))
    world = World(plan_of(nodes, [to("y", "d.next")]), script=script, seconds={"d[0]/y": 2})
    assert world.finish().status is RunStatus.PARTIAL
    assert statuses(world)["d"] == "SUCCEEDED"


def test_only_a_container_opens_a_body() -> None:
    state = RunState(plan_of([a("s")]))
    for event in (RunQueued(trigger="API"), RunStarted()):
        state.apply(event)
    with pytest.raises(IllegalTransition):
        state.apply(StepIterated(path="s", attempt=1, index=0, values={}, started_at=START))


def test_a_loop_that_breaks_does_not_touch_the_one_beside_it() -> None:
    nodes = [
        a("c", "box", onError="continue"),
        a("d", "box"),
        *body("x"),
        *body("y", container="d"),
    ]
    script = repeating({"c": 1, "d": 1}, failing_in("c[0]/x"))
    world = World(plan_of(nodes), script=script, seconds={"d[0]/y": 0.5, "c[0]/x": 0.1})
    assert world.finish().status is RunStatus.PARTIAL
    assert (statuses(world)["c"], statuses(world)["d"]) == ("FAILED", "SUCCEEDED")
