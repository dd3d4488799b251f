"""Property: wherever a worker dies, the run ends as if nobody had."""

from __future__ import annotations

from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from apps.executions.engine.history import Handling, StepCompleted
from apps.executions.engine.plan import Plan, compile_plan
from apps.executions.engine.ports import StepCall, StepDone, StepFailed, StepOutcome
from apps.executions.engine.rescue_events import StepCalled, StepCompensated
from apps.executions.engine.state import RunStatus, StepStatus
from apps.executions.engine.undoing import COMPENSATION_FAILED
from apps.workflows.graph.document import parse
from tests.engine.simulator import World
from tests.examples import examples
from tests.factories.graphs import CATALOGUE, a, raw, to

KINDS = ("pure", "picky", "keyed", "picky_keyed", "reconcilable", "transactional")


ON_ERROR: list[Any] = [
    "fail",
    "continue",
    "route",
    [{"do": "fallback", "with": {"node": "spare"}}],
    [{"do": "compensate"}],
    [{"do": "compensate", "with": {"then": "rescue"}}],
]


@st.composite
def workflows(draw: st.DrawFn) -> tuple[Plan, dict[str, Any]]:
    """A random graph with conditions, retries, error rules and disabled nodes, and its script."""
    size = draw(st.integers(1, 9))
    nodes, connections, script = [], [], {}
    for i in range(size):
        name = f"n{i}"
        kind = draw(st.sampled_from(KINDS))
        on_error = draw(st.sampled_from([*ON_ERROR, ON_ERROR[1]]))
        nodes.append(
            a(
                name,
                kind,
                compensation=draw(st.sampled_from([None, None, "undo"])),
                retry={"maxAttempts": 3, "backoffSeconds": draw(st.sampled_from([0, 0.5, 30]))},
                onError=on_error,
                disabled=draw(st.integers(0, 9)) == 0,
                resources={"pool": "cpu"} if draw(st.integers(0, 3)) == 0 else {},
            )
        )
        script[name] = {
            "failures": draw(st.sampled_from([0, 0, 0, 1, 2, 3])),
            "other": draw(st.booleans()),
            "truth": draw(st.booleans()),
            "seconds": draw(st.sampled_from([0.001, 0.001, 0.02, 0.6])),
        }
        for j in range(i):
            if draw(st.integers(0, 2)) == 0:
                port = draw(st.sampled_from(["value", "value", "other", "error"]))
                ports = ["value", "all", *(["needed"] * 2 if "picky" in kind else [])]
                into = draw(st.sampled_from(ports))
                fields = {"condition": "{{ true }}"} if draw(st.booleans()) else {}
                connections.append(to(f"n{j}.{port}", f"{name}.{into}", **fields))
    for name, kind in (("spare", "pure"), ("undo", "keyed"), ("rescue", "keyed")):
        retry = {"maxAttempts": 3, "backoffSeconds": draw(st.sampled_from([0, 30]))}
        on_error = draw(st.sampled_from(["fail", "continue"]))
        nodes.append(a(name, kind, retry=retry, onError=on_error))
        failures = draw(st.sampled_from([0, 0, 1, 3]))
        script[name] = {"failures": failures, "other": False, "truth": True, "seconds": 0.01}
    if size > 1 and draw(st.booleans()):
        connections.append(to("rescue", f"n{size - 1}.all"))
    return compile_plan(parse(raw(nodes, connections)), CATALOGUE), script


def scripted(script: dict[str, Any]) -> Any:
    """The same answer for the same attempt, whoever asks."""

    def answer(call: StepCall) -> StepOutcome:
        said = script[call.path.rpartition("/")[2]]
        truths = {c.id: said["truth"] for c in call.outgoing if c.condition}
        if call.attempt <= said["failures"]:
            return StepFailed(code="NO", message="not yet", retryable=True, conditions=truths)
        outputs = {"value": len(call.inputs)} | ({"other": 1} if said["other"] else {})
        return StepDone(outputs=outputs, conditions=truths)

    return answer


def world_of(workflow: tuple[Plan, dict[str, Any]], **fields: Any) -> World:
    """A fresh world of a drawn workflow."""
    plan, script = workflow
    seconds = {name: said["seconds"] for name, said in script.items()}
    return World(plan, script=scripted(script), seconds=seconds, **fields)


def verdict(world: World) -> tuple[RunStatus, list[tuple[Any, ...]]]:
    """What must not depend on deaths; steps that a failing run stopped depend on timing anyway."""
    state = world.finish()
    if any(
        rule.handling is Handling.COMPENSATE for step in world.plan.steps for rule in step.on_error
    ):
        # What had come to its end when the failure came depends on timing.
        hold_the_books(world)
        return RunStatus.FAILED, []
    records = zip(state.steps, state.records, strict=True)
    if state.status is RunStatus.FAILED:
        return state.status, []
    found = [(s.path, r.status, r.attempt, dict(r.outputs)) for s, r in records]
    # Which of two steps that failed together called its copy first depends on timing, too.
    return state.status, sorted(found, key=lambda one: one[0])


def hold_the_books(world: World) -> None:
    """What was undone was done; each once; and the run says what is left."""
    done, called, undone = ([e.path for e in world.events() if type(e) is kind] for kind in BOOKS)
    state = world.folded()
    owed = [path for path in done if state.step(path).compensation]
    assert len(set(called)) == len(called)
    assert len(set(undone)) == len(undone)
    assert {path.rpartition("/")[0] for path in called} <= set(owed)
    assert set(undone) <= {path.rpartition("/")[0] for path in called}
    if state.error is not None and state.error.code == COMPENSATION_FAILED:
        assert state.error.details["count"] == len(set(owed) - set(undone))
    records = [state.records[state.step(path).index] for path in undone]
    assert all(record.status is StepStatus.COMPENSATED for record in records)


BOOKS = (StepCompleted, StepCalled, StepCompensated)


@settings(deadline=None, max_examples=examples(150), suppress_health_check=[HealthCheck.too_slow])
@given(workflows(), st.integers(0, 5), st.data())
def test_a_run_cut_anywhere_ends_the_same(
    workflow: tuple[Plan, dict[str, Any]], seed: int, data: st.DataObject
) -> None:
    calm, again = world_of(workflow, seed=seed), world_of(workflow, seed=seed)
    expected = verdict(calm)
    # Hypothesis draws from what the calm world was: it must not be another one the next time.
    assert verdict(again) == expected
    assert [(row.type, row.path, row.body) for row in again.rows] == [
        (row.type, row.path, row.body) for row in calm.rows
    ]
    assert again.points == calm.points
    for cut_at in data.draw(st.sets(st.integers(1, calm.points), max_size=6)):
        world = world_of(workflow, seed=seed, cut_at=cut_at)
        assert verdict(world) == expected
        assert [row.type for row in world.rows].count("run.queued") == 1
        # Every attempt of an effect ran once, or once more for the death in between.
        assert all(count <= 2 for count in world.attempts.values())
        # A dispatch and its task are one append: no death doubles one.
        assert all(count == 1 for count in world.dispatched.values())
        assert not world.tasks


def test_every_single_point_of_one_run_may_be_the_last() -> None:
    nodes = [a("a"), a("b", "keyed"), a("c", "reconcilable"), a("d", "picky_keyed"), a("e")]
    links = [to("a", "b"), to("a", "c"), to("b", "d"), to("c", "d.needed"), to("d", "e")]
    plan = compile_plan(parse(raw(nodes, links)), CATALOGUE)
    calm = World(plan)
    expected = verdict(calm)
    for cut_at in range(1, calm.points + 1):
        assert verdict(World(plan, cut_at=cut_at)) == expected
