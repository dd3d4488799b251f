"""Joins that need some of their branches: who decides, and what becomes of the others."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from apps.executions.engine.codec import encode
from apps.executions.engine.plan import RUN_POOL
from apps.executions.engine.ports import (
    StepCall,
    StepDone,
    StepFailed,
    StepOutcome,
    StepRepeats,
    StepStopped,
    StepWaits,
    StopReason,
)
from apps.executions.engine.slice_ports import AskKind
from apps.executions.engine.state import RunStatus
from apps.workflows.graph.declaration import Wait, WaitKind
from apps.workflows.graph.validate import read_and_validate
from tests.engine.cases import completed, failing, only, plan_of, statuses, types
from tests.engine.doubles import Cut
from tests.engine.simulator import START, Script, World, echo
from tests.factories.graphs import CATALOGUE, a, raw, to


def join(needed: int | None = None, **fields: Any) -> dict[str, Any]:
    configuration = {} if needed is None else {"needed": needed}
    return {"id": "j", "type": "control.join", "configuration": configuration, **fields}


def into(*names: str) -> list[dict[str, Any]]:
    return [to(name, "j.branches") for name in names]


def given(script: Script = echo) -> tuple[Script, list[Any]]:
    """The script, and what the join was given."""
    seen: list[Any] = []

    def answer(call: StepCall) -> StepOutcome:
        if call.node.id == "j":
            seen.append(call.inputs["branches"])
        return script(call)

    return answer, seen


def test_a_join_waits_for_all_by_default() -> None:
    script, seen = given()
    nodes = [a("x"), a("y"), join(), a("e")]
    world = World(plan_of(nodes, [*into("x", "y"), to("j", "e")]), script=script)
    assert world.finish().status is RunStatus.SUCCEEDED
    assert seen == [["x", "y"]]


def test_the_first_value_decides() -> None:
    script, seen = given()
    nodes = [a("slow", "keyed"), a("quick"), join(1), a("e")]
    links = [*into("slow", "quick"), to("j", "e")]
    world = World(plan_of(nodes, links), script=script, seconds={"slow": 5})
    assert world.finish().status is RunStatus.SUCCEEDED
    assert seen == [["quick"]]
    history = types(world)
    assert history.index("step.completed e") < history.index("step.completed slow")


@pytest.mark.parametrize("seed", range(5))
def test_so_many_values_decide_in_the_documents_order(seed: int) -> None:
    script, seen = given()
    plan = plan_of([*(a(name) for name in "abcd"), join(2)], into(*"abcd"))
    World(plan, script=script, seed=seed, seconds=dict.fromkeys("abcd", 0.1)).finish()
    assert len(seen) == 1
    assert len(seen[0]) >= 2
    assert seen[0] == sorted(seen[0])


def test_what_has_not_begun_is_canceled() -> None:
    retry = {"maxAttempts": 9, "backoffSeconds": 60}
    nodes = [
        a("quick"),
        a("again", "keyed", retry=retry),
        a("later", "keyed"),
        a("slow", "keyed"),
        a("after", "keyed"),
        a("waits"),
        join(1),
        a("e"),
    ]
    links = [
        *into("quick", "again", "after", "waits", "later"),
        to("slow", "after"),
        to("j", "e"),
    ]

    def script(call: StepCall) -> StepOutcome:
        if call.node.id == "again":
            return StepFailed(code="BUSY", message="no", retryable=True)
        if call.node.id == "waits":
            return StepWaits(wait=Wait(kind=WaitKind.SIGNAL, name="never"))
        return echo(call)

    seconds: dict[str, float] = {"quick": 1, "slow": 3}
    world = World(plan_of(nodes, links), script=script, seconds=seconds, slots=9)
    assert world.finish().status is RunStatus.SUCCEEDED
    found = statuses(world)
    assert {name: found[name] for name in ("again", "waits")} == {
        "again": "CANCELED",
        "waits": "CANCELED",
    }
    assert (found["slow"], found["after"], found["e"]) == ("SUCCEEDED", "CANCELED", "SUCCEEDED")
    assert not world.ran("after")


def test_a_branch_that_others_need_goes_on() -> None:
    nodes = [a("quick"), a("s", "keyed"), a("slow"), join(1), a("other"), a("e")]
    links = [*into("quick", "slow"), to("s", "slow"), to("slow", "other"), to("j", "e")]
    world = World(plan_of(nodes, links), seconds={"s": 3, "slow": 3})
    assert world.finish().status is RunStatus.SUCCEEDED
    assert statuses(world)["other"] == "SUCCEEDED"


def test_a_step_between_two_joins_goes_when_both_have_enough() -> None:
    second = {**join(1), "id": "k"}
    nodes = [a("quick"), a("later"), a("s"), a("slow", "keyed"), join(1), second]
    links = [
        *into("quick", "slow"),
        to("later", "k.branches"),
        to("slow", "k.branches"),
        to("s", "slow"),
    ]
    seconds = {"quick": 0.1, "later": 2, "s": 4}
    world = World(plan_of(nodes, links), seconds=seconds)
    assert world.finish().status is RunStatus.SUCCEEDED
    assert statuses(world)["slow"] == "CANCELED"


def test_a_failure_nobody_needs_fails_nothing() -> None:
    nodes = [a("quick"), a("bad", retry={"maxAttempts": 3, "backoffSeconds": 0}), join(1), a("e")]
    links = [*into("quick", "bad"), to("j", "e")]
    script = only("bad", failing(retryable=True))
    world = World(plan_of(nodes, links), script=script, seconds={"bad": 2})
    assert world.finish().status is RunStatus.SUCCEEDED
    assert statuses(world)["bad"] == "FAILED"
    assert types(world).count("step.failed bad") == 1


def test_too_few_values_skip_the_join() -> None:
    nodes = [a("x"), a("y", onError="continue"), join(2), a("e")]
    links = [*into("x", "y"), to("j", "e")]
    world = World(plan_of(nodes, links), script=only("y", failing()))
    assert world.finish().status is RunStatus.PARTIAL
    assert (statuses(world)["j"], statuses(world)["e"]) == ("SKIPPED", "SKIPPED")


def test_a_branch_that_runs_is_asked_to_stop_and_the_others_go_on() -> None:
    nodes = [a("quick"), a("slow", "keyed"), join(1), a("e", "keyed")]
    links = [*into("quick", "slow"), to("j", "e")]
    world = World(
        plan_of(nodes, links),
        patient={"slow": StepStopped(reason=StopReason.CANCELED)},
        seconds={"e": 3},
    )
    assert world.finish().status is RunStatus.SUCCEEDED
    assert (statuses(world)["slow"], statuses(world)["e"]) == ("CANCELED", "SUCCEEDED")
    assert (world.halted, world.stops) == (["slow"], [])


def test_what_has_nothing_to_do_with_the_join_runs_on() -> None:
    nodes = [a("quick"), a("slow", "keyed"), a("other", "keyed"), join(1)]
    world = World(
        plan_of(nodes, into("quick", "slow")),
        patient={"slow": StepStopped(reason=StopReason.CANCELED)},
        seconds={"other": 3},
    )
    assert world.finish().status is RunStatus.SUCCEEDED
    assert (statuses(world)["other"], world.halted) == ("SUCCEEDED", ["slow"])


def test_an_effect_that_happened_all_the_same_is_recorded() -> None:
    nodes = [a("quick"), a("slow", "unsafe"), join(1)]
    world = World(plan_of(nodes, into("quick", "slow")), patient={"slow": StepDone(outputs={})})
    assert world.finish().status is RunStatus.SUCCEEDED
    assert statuses(world)["slow"] == "SUCCEEDED"
    assert world.halted == ["slow"]


def test_a_branch_that_does_not_stop_is_given_up() -> None:
    plan = plan_of([a("quick"), a("slow"), join(1)], into("quick", "slow"))
    world = World(plan, stuck={"slow"})
    assert world.finish().status is RunStatus.SUCCEEDED
    assert statuses(world)["slow"] == "CANCELED"
    assert world.abandoned == ["slow"]
    assert world.now - START < dt.timedelta(seconds=11)


def test_a_dispatched_branch_is_called_back_once_the_winner_is_durable() -> None:
    nodes = [a("quick"), a("far", resources={"pool": "cpu"}), join(1)]
    world = World(plan_of(nodes, into("quick", "far")))
    assert world.finish().status is RunStatus.SUCCEEDED
    assert statuses(world)["far"] == "CANCELED"
    halted = [batch.head + len(batch.rows) for batch in world.batches if batch.change.halts]
    assert halted
    assert types(world).index("step.completed quick") < halted[0]
    assert RUN_POOL == "io"


def test_what_people_were_asked_is_withdrawn() -> None:
    nodes = [a("quick", "keyed"), a("asks"), join(1), a("e")]
    links = [*into("quick", "asks"), to("j", "e")]
    script = only("asks", lambda _: StepWaits(wait=Wait(kind=WaitKind.APPROVAL)))
    world = World(plan_of(nodes, links), script=script, seconds={"quick": 5})
    assert world.finish().status is RunStatus.SUCCEEDED
    assert statuses(world)["asks"] == "CANCELED"
    at = types(world).index("step.canceled asks") + 1
    asks = [(ask.kind, ask.seq) for batch in world.batches for ask in batch.change.asks]
    assert (AskKind.WITHDRAWN, at) in asks
    assert AskKind.OVER not in dict(asks)


@pytest.mark.parametrize(("kind", "status"), [("pure", "CANCELED"), ("reconcilable", "SUCCEEDED")])
def test_what_was_cut_off_runs_again_only_if_it_may_have_done_something(
    kind: str, status: str
) -> None:
    # The announced step is cut off by a death; then the other branch wins.
    nodes = [a("long", kind), a("s", "keyed"), a("quick"), join(1)]
    links = [*into("quick", "long"), to("s", "quick")]
    plan = plan_of(nodes, links)
    world = World(plan, seconds={"s": 1}, stuck={"long"}, cut_before="quick")
    with pytest.raises(Cut):
        world.slice()
    assert "step.started long" in types(world)
    world.rows.append(encode(completed("quick", value=1)))
    world.stuck.clear()
    assert world.finish().status is RunStatus.SUCCEEDED
    assert statuses(world)["long"] == status


def test_a_join_inside_a_body_and_a_loop_in_a_branch() -> None:
    body = [
        a("c", "box"),
        a("x", parentId="c"),
        a("y", "keyed", parentId="c"),
        {**join(1), "parentId": "c"},
    ]
    links = [*into("x", "y"), to("c.item", "x"), to("c.item", "j.branches"), to("j", "c.next")]

    def script(call: StepCall) -> StepOutcome:
        if call.node.id == "c" and (call.inside is None or call.inside.index < 1):
            return StepRepeats(values={})
        return StepDone(outputs={"value": call.path})

    world = World(plan_of(body, links), script=script, seconds={"c[0]/y": 2, "c[1]/y": 2})
    assert world.finish().status is RunStatus.SUCCEEDED
    assert types(world).count("step.completed c[1]/j") == 1


def test_an_open_body_nobody_needs_closes_once_nothing_in_it_runs() -> None:
    def script(call: StepCall) -> StepOutcome:
        return StepRepeats(values={}) if call.node.id == "c" else echo(call)

    nodes = [a("quick"), a("c", "box"), a("x", parentId="c"), a("y", parentId="c"), join(1)]
    plan = plan_of(nodes, [*into("quick", "c"), to("x", "y")])
    stopped: dict[str, StepOutcome] = {"c[0]/x": StepStopped(reason=StopReason.CANCELED)}
    world = World(plan, script=script, seconds={"quick": 1}, patient=stopped)
    assert world.finish().status is RunStatus.SUCCEEDED
    assert world.halted == ["c[0]/x"]
    found = statuses(world)
    assert {found[name] for name in ("c", "c[0]/x", "c[0]/y")} == {"CANCELED"}
    # Its handler opens one more after the join has had enough.
    world = World(plan, script=script, seconds={"quick": 1, "c": 2})
    assert world.finish().status is RunStatus.SUCCEEDED
    assert statuses(world)["c"] == "CANCELED"


def test_a_loop_in_a_branch_ends_with_it() -> None:
    def script(call: StepCall) -> StepOutcome:
        if call.node.id == "c" and (call.inside is None or call.inside.index < 1):
            return StepRepeats(values={})
        return StepDone(outputs={"value": call.path})

    nodes = [a("quick"), a("c", "box"), a("x", parentId="c"), join(1)]
    world = World(
        plan_of(nodes, into("quick", "c")), script=script, seconds={"quick": 1, "c[0]/x": 2}
    )
    assert world.finish().status is RunStatus.SUCCEEDED
    assert statuses(world)["c"] == "CANCELED"
    assert "c[1]/x" not in statuses(world)


def test_how_many_are_needed_stands_in_the_document() -> None:
    def codes(configuration: dict[str, Any]) -> set[str]:
        nodes = [a("x"), a("y"), join(configuration=configuration)]
        _, report = read_and_validate(raw(nodes, into("x", "y")), CATALOGUE)
        return {issue.code for issue in report.issues}

    assert codes({"needed": 2}) == set()
    assert codes({}) == set()
    assert codes({"needed": 3}) == {"JOIN_OUT_OF_REACH"}
    assert codes({"needed": "{{ 1 }}"}) == {"CONFIGURATION_WRONG_TYPE"}
    assert plan_of([a("x"), join(configuration={"needed": 0})]).step("j").needed is None


def test_time_passes_in_these_worlds() -> None:
    world = World(plan_of([a("x")]), seconds={"x": 5})
    began = world.now
    world.finish()
    assert world.now - began >= dt.timedelta(seconds=5)
