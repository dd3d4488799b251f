"""Property: with loops in loops and joins, wherever a worker dies, the run ends as it must."""

from __future__ import annotations

from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from apps.executions.engine.plan import Plan
from apps.executions.engine.ports import StepCall, StepDone, StepFailed, StepOutcome, StepRepeats
from apps.executions.engine.state import RunStatus
from tests.engine.cases import plan_of
from tests.engine.simulator import World
from tests.engine.test_simulator import KINDS
from tests.examples import examples
from tests.factories.graphs import a, to

LEVELS = (None, "c", "d")


@st.composite
def nested(draw: st.DrawFn, *, joins: bool) -> tuple[Plan, dict[str, Any]]:
    """A loop in a loop, each with a random body; its script."""
    nodes: list[dict[str, Any]] = []
    links: list[dict[str, Any]] = []
    script: dict[str, Any] = {}
    for level in LEVELS:
        inside = {"parentId": level} if level else {}
        names: list[str] = []
        inner = {None: "c", "c": "d", "d": None}[level]
        size = draw(st.integers(1, 4))
        for i in range(size + bool(inner)):
            is_box = inner is not None and i == size
            name = inner if is_box and inner else f"{level or 'n'}{i}"
            kind = "box" if is_box else draw(st.sampled_from(KINDS))
            on_error = draw(st.sampled_from(["fail", "continue", "route"]))
            retry = {"maxAttempts": 2, "backoffSeconds": draw(st.sampled_from([0, 30]))}
            node = a(name, kind, onError=on_error, retry=retry, **inside)
            pool = {"pool": "cpu"} if not is_box and draw(st.integers(0, 4)) == 0 else {}
            is_join = joins and not is_box and len(names) > 1 and draw(st.booleans())
            if is_join:
                node |= {"type": "control.join", "configuration": {"needed": 1}}
            nodes.append(node | {"resources": pool})
            script[name] = {
                "failures": 0 if is_box else draw(st.sampled_from([0, 0, 0, 1, 2])),
                "truth": draw(st.booleans()),
                "times": draw(st.integers(1, 3)),
            }
            for before in names:
                if is_join or draw(st.integers(0, 1)):
                    port = "value" if is_join else draw(st.sampled_from(["value", "error"]))
                    fields = {"condition": "{{ true }}"} if draw(st.booleans()) else {}
                    port_in = "branches" if is_join else "value"
                    links.append(to(f"{before}.{port}", f"{name}.{port_in}", **fields))
            if level and not is_join and draw(st.booleans()):
                links.append(to(f"{level}.item", f"{name}.all"))
            if level and draw(st.booleans()):
                links.append(to(f"{name}.value", f"{level}.next"))
            names.append(name)
    return plan_of(nodes, links), script


def scripted(script: dict[str, Any]) -> Any:
    """The same answer for the same attempt, whoever asks."""

    def answer(call: StepCall) -> StepOutcome:
        said = script[call.node.id]
        truths = {c.id: said["truth"] for c in call.outgoing if c.condition}
        if call.attempt <= said["failures"]:
            return StepFailed(code="NO", message="not yet", retryable=True, conditions=truths)
        index = call.inside.index + 1 if call.inside else 0
        if call.node_type.container and index < said["times"]:
            return StepRepeats(values={"item": [call.path, index], "index": index})
        told = call.inside.inputs if call.inside else call.inputs
        seen = " ".join(sorted(call.upstream))
        return StepDone(outputs={"value": [len(told), seen, call.index]}, conditions=truths)

    return answer


def verdict(world: World) -> tuple[RunStatus, list[tuple[Any, ...]]]:
    """What must not depend on deaths; what a failing body or run stopped depends on timing."""
    state = world.finish()
    found = {
        step.path: (record.status, record.attempt, str(dict(record.outputs)))
        for step, record in zip(state.steps, state.records, strict=True)
    }
    if state.status is RunStatus.FAILED:
        return state.status, []
    broken = tuple(
        f"{path}["
        for path, (status, *_) in found.items()
        if status == "FAILED" and path[-1] in "cd"
    )
    kept = ((path, *rest) for path, rest in found.items() if not path.startswith(broken))
    return state.status, sorted(kept)


def survives(world: World) -> None:
    """What holds for every run that was cut."""
    assert [row.type for row in world.rows].count("run.queued") == 1
    assert all(count <= 2 for count in world.attempts.values())
    assert all(count == 1 for count in world.dispatched.values())
    settled = [
        row.path
        for row in world.rows
        if row.type in ("step.completed", "step.failed", "step.skipped", "step.canceled")
    ]
    assert len(settled) == len(set(settled)), "a step settled twice"
    assert not world.tasks


@settings(deadline=None, max_examples=examples(40), suppress_health_check=[HealthCheck.too_slow])
@given(nested(joins=False), st.integers(0, 5), st.data())
def test_loops_cut_anywhere_end_the_same(
    workflow: tuple[Plan, dict[str, Any]], seed: int, data: st.DataObject
) -> None:
    plan, script = workflow
    calm, again = (World(plan, script=scripted(script), seed=seed) for _ in range(2))
    expected = verdict(calm)
    assert verdict(again) == expected
    assert again.points == calm.points
    for cut_at in data.draw(st.sets(st.integers(1, calm.points), max_size=5)):
        world = World(plan, script=scripted(script), seed=seed, cut_at=cut_at)
        assert verdict(world) == expected
        survives(world)


@settings(deadline=None, max_examples=examples(40), suppress_health_check=[HealthCheck.too_slow])
@given(nested(joins=True), st.integers(0, 5), st.data())
def test_joins_cut_anywhere_end(
    workflow: tuple[Plan, dict[str, Any]], seed: int, data: st.DataObject
) -> None:
    plan, script = workflow
    calm, again = (World(plan, script=scripted(script), seed=seed) for _ in range(2))
    assert calm.finish().status == again.finish().status
    assert again.points == calm.points
    for cut_at in data.draw(st.sets(st.integers(1, calm.points), max_size=5)):
        world = World(plan, script=scripted(script), seed=seed, cut_at=cut_at)
        assert world.finish().status.is_terminal
        survives(world)


def test_every_single_point_of_a_loop_may_be_the_last() -> None:
    nodes = [
        a("s", "keyed"),
        a("c", "box"),
        a("x", "reconcilable", parentId="c"),
        a("y", "keyed", parentId="c", resources={"pool": "cpu"}),
        a("e"),
    ]
    links = [to("s", "c"), to("c.item", "x"), to("x", "y"), to("y", "c.next"), to("c", "e")]
    said = {"failures": 0, "truth": True, "times": 2}
    script = scripted(dict.fromkeys("scxye", said))
    plan = plan_of(nodes, links)
    calm = World(plan, script=script)
    expected = verdict(calm)
    assert expected[0] is RunStatus.SUCCEEDED
    for cut_at in range(1, calm.points + 1):
        world = World(plan, script=script, cut_at=cut_at)
        assert verdict(world) == expected
        survives(world)
