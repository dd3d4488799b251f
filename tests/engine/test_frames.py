"""A body that is run on its own: its frame gives item, index, outer nodes and the prefix."""

from __future__ import annotations

from typing import Any

import pytest

from apps.executions.engine.calls import call_of
from apps.executions.engine.fold import RunState
from apps.executions.engine.frames import Frame
from apps.executions.engine.history import Event, Handling, RunQueued, RunStarted
from apps.executions.engine.plan import Plan, PlanRefused
from apps.executions.engine.ports import StepCall
from apps.executions.engine.state import RunStatus
from tests.engine.cases import completed, failed, plan_of, skipped
from tests.engine.simulator import START, World
from tests.factories.graphs import a, to


def body_of(nodes: list[dict[str, Any]], links: Any) -> Plan:
    inside = [{**node, "parentId": "c"} for node in nodes]
    body = plan_of([a("c", "box"), *inside], links).step("c").body
    assert body is not None
    return body


def applied(state: RunState, *events: Event) -> RunState:
    for event in (RunQueued(trigger="MAP"), RunStarted(), *events):
        state.apply(event)
    return state


def call(state: RunState, path: str) -> StepCall:
    return call_of(
        World(state.plan).claim(),
        state,
        state.step(path),
        attempt=1,
        started_at=START,
        interrupted=False,
    )


def test_a_frame_feeds_its_body() -> None:
    links = [to("c.item", "x"), to("c.index", "x.all"), to("x", "y.all"), to("c.item", "y.all")]
    body = body_of([a("x"), a("y"), a("z")], links)
    outer: dict[str, Any] = {"before": {"value": 9}}
    values: dict[str, Any] = {"item": [7], "index": 3}
    frame = Frame(prefix="rows[3]/", index=3, item=[7], values=values, outer=outer)
    state = applied(RunState(body, frame))
    assert {state.steps[index].path for index in state.ready} == {"x", "z"}
    first = call(state, "x")
    assert (first.path, first.index, first.item) == ("rows[3]/x", 3, [7])
    assert first.inputs == {"value": [7], "all": [3]}
    assert first.inputs["value"] is not values["item"]
    assert dict(first.upstream) == outer
    assert "/rows[3]/x/3/" in first.idempotency_key
    state.apply(completed("x", value=1))
    second = call(state, "y")
    assert second.inputs == {"all": [1, [7]]}
    assert dict(second.upstream) == {"x": {"value": 1}, "before": {"value": 9}}
    assert len(second.upstream) == 2
    with pytest.raises(KeyError):
        second.upstream["z"]


def test_a_port_the_frame_does_not_give_is_not_taken() -> None:
    body = body_of([a("x"), a("y")], [to("c.item", "x"), to("x", "y"), to("c.index", "y.all")])
    state = applied(RunState(body, Frame(values={"index": 0})))
    assert [index for index, _ in state.unreached] == [0]
    state.apply(skipped("x"))
    assert call(state, "y").inputs == {"all": [0]}


def test_what_a_body_gives_is_collected() -> None:
    nodes = [a("x"), a("y"), a("z"), a("e", onError="route")]
    links = [
        to("x", "c.next"),
        to("y", "c.next"),
        to("x", "c.every"),
        to("y.other", "c.every"),
        to("z", "c.every", condition="{{ false }}"),
        to("e.error", "c.every"),
    ]
    state = applied(
        RunState(body_of(nodes, links)),
        completed("x", value=1),
        completed("y", value=2, other=3),
        completed("z", value=4),
        failed("e", handling=Handling.ROUTE),
    )
    arrived = state.collected()
    assert arrived["next"] == 1
    assert arrived["every"] == [1, 3, {"code": "NO", "message": "no", "nodeId": "e", "attempt": 1}]
    assert not state.ready


def test_a_failure_that_leaves_by_the_wall_is_received() -> None:
    body = body_of([a("x", onError="route")], [to("x.error", "c.next")])
    assert [link.id for link in body.step("x").error_links] == ["x.error-c.next"]
    assert RunState(body).status is RunStatus.QUEUED


def test_an_exit_must_lead_somewhere() -> None:
    with pytest.raises(PlanRefused, match="no inner input"):
        body_of([a("x")], [to("x", "c.nowhere")])
