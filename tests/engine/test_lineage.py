"""Runs that go on from another: what they take over, what runs again, under which keys."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from apps.executions.engine.calls import given_to
from apps.executions.engine.codec import decode, encode
from apps.executions.engine.history import StepCompleted
from apps.executions.engine.lineage import effects_of, inherit
from apps.executions.engine.plan import Plan
from apps.executions.engine.ports import StepCall, StepDone, StepFailed, StepOutcome
from apps.executions.engine.seeds import Origin, StepGiven, StepReused
from apps.executions.engine.state import RunStatus, StepStatus
from tests.engine.cases import failing, only, plan_of, statuses, types
from tests.engine.chains import again
from tests.engine.doubles import read
from tests.engine.simulator import World, echo
from tests.engine.test_maps import each, world
from tests.engine.test_simulator import verdict, workflows, world_of
from tests.factories.graphs import a, to

CHAIN = (
    [a("a"), a("b", "keyed"), a("c", "unsafe"), a("d")],
    [to("a", "b"), to("b", "c"), to("c", "d")],
)


def broken_at(path: str, **fields: Any) -> World:
    world = World(plan_of(*CHAIN), script=only(path, failing(**fields)))
    assert world.finish().status is RunStatus.FAILED
    return world


def test_a_retry_runs_what_failed_and_what_is_behind_it() -> None:
    first = broken_at("c")
    second = again(first)
    second.script = echo
    assert second.finish().status is RunStatus.SUCCEEDED
    assert sorted(second.attempts) == [("c", 1), ("d", 1)]
    assert types(second)[:4] == ["run.queued", "step.reused a", "step.reused b", "run.started"]
    assert second.folded().result() == {"d": {"value": "d"}}
    # Once per key: the sink has seen b once, and c under the key of its first try.
    assert {key.split("/", 2)[2]: n for key, n in second.effects.items()} == {
        "b/0/1": 1,
        "c/0/1": 2,
    }


def test_what_is_reused_costs_nothing_and_settles() -> None:
    state = again(broken_at("c")).folded()
    assert (state.settled, state.totals.attempts, state.head) == (2, 0, 3)
    assert list(state.ready) == [state.step("c").index]


def test_a_retry_of_a_retry_copies_what_was_copied() -> None:
    second = again(broken_at("c"))
    assert second.finish().status is RunStatus.FAILED
    third = again(second)
    assert types(third)[:3] == ["run.queued", "step.reused a", "step.reused b"]


def test_a_new_generation_reaches_the_key_and_survives_a_death() -> None:
    first = World(plan_of(*CHAIN))
    first.finish()
    redone = [StepGiven(path="b", generation=2), StepGiven(path="c", generation=3)]
    second = again(first, redo=("b",), given=redone, cut_before="c")
    with pytest.raises(AssertionError, match="waits for nothing"):
        second.finish()
    assert second.folded().waiting, "an unsafe effect was cut"
    third = again(first, redo=("b",), given=redone, cut_before="b")
    assert third.finish().status is RunStatus.SUCCEEDED
    keys = sorted(key.split("/", 2)[2] for key in third.effects)
    assert keys == ["b/0/1", "b/0/2", "c/0/1", "c/0/3"]


def test_inside_a_container_the_containers_generation_counts() -> None:
    state = World(plan_of(*CHAIN)).folded()
    state.apply(StepGiven(path="b", generation=4))
    assert given_to(state, "b[3]/score").generation == 4
    assert given_to(state, "b/refund").generation == 4
    assert given_to(state, "c[0]/score").generation == 1


def test_edited_inputs_replace_what_arrives_port_by_port() -> None:
    seen: dict[str, Any] = {}

    def note(call: StepCall) -> StepOutcome:
        seen[call.path] = dict(call.inputs)
        return echo(call)

    plan = plan_of([a("a"), a("b"), a("c")], [to("a", "c"), to("b", "c.all")])
    first = World(plan, script=note)
    first.finish()
    second = again(first, redo=("c",), given=[StepGiven(path="c", inputs={"value": 7})])
    second.finish()
    assert seen["c"] == {"value": 7, "all": ["b"]}
    assert sorted(second.attempts) == [("c", 1)]


@pytest.mark.parametrize("pool", [None, "cpu"])
def test_pinned_outputs_come_with_the_call(pool: str | None) -> None:
    calls: dict[str, StepCall] = {}

    def note(call: StepCall) -> StepOutcome:
        calls[call.path] = call
        return call.given or echo(call)

    elsewhere = a("a", resources={"pool": pool} if pool else {})
    world = World(plan_of([elsewhere, a("b")], [to("a", "b")]), script=note)
    world.rows.append(encode(StepGiven(path="a", outputs={"value": "pinned"})))
    state = world.finish()
    assert calls["a"].given == StepDone(outputs={"value": "pinned"}, origin=Origin.PINNED)
    assert calls["b"].given is None
    assert calls["b"].inputs == {"value": "pinned"}
    assert [record.origin for record in state.records] == [Origin.PINNED, None]


def test_a_step_alone_runs_with_nothing_before_or_behind_it() -> None:
    seen: list[Any] = []

    def note(call: StepCall) -> StepOutcome:
        seen.append((call.path, dict(call.inputs), dict(call.upstream)))
        return echo(call)

    plan = plan_of([a("a"), a("b"), a("c"), a("z", disabled=True)], [to("a", "b"), to("b", "c")])
    world = World(plan, script=note)
    alone = StepGiven(path="b", alone=True, inputs={"value": 1})
    world.rows += [encode(alone), encode(StepGiven(path="a", outputs={"value": "A"}))]
    assert world.finish().status is RunStatus.SUCCEEDED
    assert seen == [("b", {"value": 1}, {"a": {"value": "A"}})]
    assert statuses(world) == {
        "a": "SUCCEEDED",
        "b": "SUCCEEDED",
        "c": "CANCELED",
        "z": "CANCELED",
    }


def test_a_failure_that_somebody_received_is_kept_and_others_are_not() -> None:
    nodes = [
        a("a", onError="route"),
        a("b", onError="continue"),
        a("received"),
        a("behind"),
        a("last"),
        a("off", disabled=True),
    ]
    links = [to("a.error", "received"), to("a", "behind"), to("received", "last")]
    first = World(plan_of(nodes, links), script=failing())
    first.script = lambda call: (failing() if call.path in "ab" else echo)(call)
    assert first.finish().status is RunStatus.PARTIAL
    inherited = inherit(first.folded(), first.plan)
    assert inherited.redone == ("b",)
    second = again(first, redo=("last",))
    second.script = echo
    assert second.finish().status is RunStatus.SUCCEEDED
    assert sorted(second.attempts) == [("b", 1), ("last", 1)]
    assert statuses(second)["behind"] == "SKIPPED"
    assert second.folded().records[second.plan.positions["a"]].failure is not None


OTHERS: dict[str, tuple[dict[str, dict[str, Any]], list[Any], set[str]]] = {
    "the same": ({}, [], {"a", "b", "c", "d"}),
    "another configuration": ({"b": {"configuration": {"say": 1}}}, [], {"a"}),
    "another type": ({"c": {"type": "test.keyed"}}, [], {"a", "b"}),
    "switched off": ({"d": {"disabled": True}}, [], {"a", "b", "c"}),
    "a new retry policy": ({"b": {"retry": {"maxAttempts": 9}}}, [], {"a", "b", "c", "d"}),
    "a new step behind": ({"e": {"type": "test.pure"}}, [to("d", "e")], {"a", "b", "c", "d"}),
    "a new connection into it": ({}, [to("a", "d.all")], {"a", "b", "c"}),
    "a new condition behind it": ({}, [to("b", "d.all", condition="{{ true }}")], {"a"}),
}


@pytest.mark.parametrize("name", OTHERS)
def test_on_another_version_the_same_behavior_is_kept(name: str) -> None:
    changes, links, kept = OTHERS[name]
    first = World(plan_of(*CHAIN))
    first.finish()
    nodes = {node["id"]: node for node in CHAIN[0]}
    for key, fields in changes.items():
        nodes[key] = {**nodes.get(key, {"id": key}), **fields}
    plan = plan_of(list(nodes.values()), [*CHAIN[1], *links])
    inherited = inherit(first.folded(), plan)
    assert set(inherited.kept) == kept
    assert set(inherited.kept) | set(inherited.redone) == {step.path for step in plan.steps}
    second = again(first, plan=plan)
    second.script = lambda call: StepDone(
        outputs={"value": call.path}, conditions={c.id: True for c in call.outgoing if c.condition}
    )
    assert second.finish().status is RunStatus.SUCCEEDED


def boxed(**inner: Any) -> Plan:
    nodes = [a("a"), a("box", "box"), {**a("in", "keyed", parentId="box"), **inner}, a("z")]
    return plan_of(nodes, [to("a", "box"), to("box", "z")])


def test_a_container_behaves_as_its_body_does() -> None:
    state = World(boxed()).folded()
    for path in ("a", "box"):
        state.apply(StepReused(path=path, attempt=1, run_id="r", outputs={"value": 1}))
    assert inherit(state, boxed()).kept == ("a", "box")
    assert inherit(state, boxed(configuration={"say": 2})).kept == ("a",)
    assert {node: step for node, (step, _) in effects_of(boxed()).items()} == {"in": "box"}


def test_seeds_survive_their_rows() -> None:
    seeds = (
        StepGiven(path="a"),
        StepGiven(path="a", generation=2, inputs={"x": 1}, outputs={"y": 2}, alone=True),
        StepReused(path="a", attempt=2, run_id="r", outputs={"v": 1}, conditions={"c": True}),
        StepReused(path="a", attempt=1, run_id="r", error={"code": "NO", "message": "no"}),
    )
    for seed in seeds:
        assert read(encode(seed)) == seed
    cached = decode(
        "step.completed",
        path="a",
        attempt=1,
        body={"outputs": {}, "startedAt": 0, "origin": "cached"},
    )
    assert read(encode(cached)) == cached


def test_a_cached_result_is_a_success_of_its_own_name() -> None:
    def answer(call: StepCall) -> StepOutcome:
        return StepDone(outputs={"value": 1}, origin=Origin.CACHED if call.path == "a" else None)

    world = World(plan_of([a("a"), a("b")], [to("a", "b")]), script=answer)
    state = world.finish()
    assert [record.status for record in state.records] == [StepStatus.CACHED, StepStatus.SUCCEEDED]
    assert state.status is RunStatus.SUCCEEDED


@settings(deadline=None, max_examples=100, suppress_health_check=[HealthCheck.too_slow])
@given(workflows(), st.integers(0, 5), st.data())
def test_a_broken_run_and_its_retry_end_as_an_unbroken_one(
    workflow: tuple[Plan, dict[str, Any]], seed: int, data: st.DataObject
) -> None:
    calm = world_of(workflow, seed=seed)
    status, records = verdict(calm)
    if status is not RunStatus.SUCCEEDED:
        return
    broken = data.draw(st.sampled_from(sorted(workflow[0].positions)))
    sound = world_of(workflow, seed=seed).script

    def breaking(call: StepCall) -> StepOutcome:
        if call.path == broken:
            return StepFailed(code="BROKEN", message="no")
        return sound(call)

    first = world_of(workflow, seed=seed)
    first.script = breaking
    if first.finish().status is not RunStatus.FAILED:
        return
    sent = dict(first.effects)
    done = {event.path for event in first.events() if isinstance(event, StepCompleted)}
    second = again(first, cut_at=data.draw(st.none() | st.integers(1, calm.points)))
    second.script = sound
    assert second.finish().status is status
    outputs = [(path, state, values) for path, state, _, values in verdict(second)[1]]
    assert outputs == [(path, state, values) for path, state, _, values in records]
    # The sink has seen the same keys as in one run, and nothing again that had succeeded.
    assert set(second.effects) == set(calm.effects)
    assert all(second.effects[key] == n for key, n in sent.items() if key.split("/")[2] in done)


def test_a_map_goes_on_with_its_items_when_nothing_before_it_has_changed() -> None:
    it = world()
    it.maps.fails = lambda _path, index, _attempt: index == 4
    state = it.finish()
    assert state.status is RunStatus.FAILED

    def resumed(new: Plan, *redo: str) -> list[str]:
        return list(inherit(state, new, redo=redo).maps)

    assert resumed(state.plan) == ["rows"]
    assert resumed(each()) == ["rows"], "another version that behaves the same"
    assert resumed(each(configuration={"say": "anew"})) == []
    assert resumed(state.plan, "before") == [], "its items may be others"
