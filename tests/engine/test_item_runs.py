"""An item of a map that is a run of its own: when it is, how it begins, what it comes to."""

from __future__ import annotations

import dataclasses
import json
import random
import uuid
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apps.executions.engine.calls import call_of, given_to
from apps.executions.engine.codec import decode, encode
from apps.executions.engine.decide import CancelRequest
from apps.executions.engine.fold import Around, fold, moved
from apps.executions.engine.history import Event, RunQueued, RunStarted
from apps.executions.engine.mapping import StepOpened
from apps.executions.engine.pausing import PauseRequest
from apps.executions.engine.plan import Plan
from apps.executions.engine.ports import (
    StepCall,
    StepFailed,
    StepOpens,
    StepOutcome,
    StepWaits,
    Usage,
)
from apps.executions.engine.seeds import ItemGiven, StepGiven
from apps.executions.engine.slice_ports import Inbox
from apps.executions.engine.state import IllegalTransition
from apps.workflows.graph.mapping import MapOpening, Policy
from apps.workflows.graph.waits import Wait, WaitKind
from tests.engine.cases import completed, plan_of
from tests.engine.simulated_items import ItemWorlds
from tests.engine.simulator import START, World, echo
from tests.factories.graphs import a, to

OPENING = MapOpening(total=4, items=[1, 2, 3, 4], chunk_size=2, concurrency=8)
GIVEN = ItemGiven(
    path="loop[1]/rows", attempt=2, run_id="r", head=7, index=3, item={"a": 1}, generation=5,
    scope="outer[0]/loop[1]/rows[3]/",
)  # fmt: skip


def each(*inside: dict[str, Any], links: Any = ()) -> Plan:
    """rows with these inside."""
    return plan_of([a("rows", "each"), *inside], links)


def one(kind: str = "pure", **fields: Any) -> dict[str, Any]:
    return a("one", kind, parentId="rows", **fields)


@pytest.mark.parametrize(
    ("inside", "parks"),
    [
        ([one()], False),
        ([one("unsafe")], False),
        ([one("waiting")], True),
        ([one("waiting", disabled=True)], False),
        ([one("each"), a("in", parentId="one")], True),
        ([one("box"), a("in", parentId="one")], False),
        ([one("box"), a("in", "waiting", parentId="one")], True),
        ([one(onError=[{"match": {}, "do": "escalate"}])], True),
        ([one(onError=[{"match": {}, "do": "fallback", "with": {"workflow": "w"}}])], True),
        ([one(onError=[{"match": {}, "do": "continue"}])], False),
    ],
)
def test_items_are_runs_where_something_in_them_may_wait(
    inside: list[dict[str, Any]], *, parks: bool
) -> None:
    body = each(*inside).step("rows").body
    assert body is not None
    assert body.parks is parks


def test_what_history_says_of_an_opening_comes_back() -> None:
    for parks in (True, False):
        like = dataclasses.replace(OPENING, parks=parks)
        event = StepOpened(path="rows", attempt=1, opening=like, usage=Usage(), started_at=START)
        row = encode(event)
        body = json.loads(row.body or "")
        assert ("parks" in body["opening"]) is parks
        assert decode(row.type, path=row.path, attempt=row.attempt, body=body) == event


def test_a_seed_comes_back_from_history() -> None:
    row = encode(GIVEN)
    assert (row.type, row.path, row.attempt) == ("item.given", None, None)
    assert decode(row.type, path=None, attempt=None, body=json.loads(row.body or "")) == GIVEN


def deep(*, links: bool = True) -> Plan:
    """loop (body: rows (body: one → two))."""
    ways = [to("rows.item", "one"), to("one", "two"), to("two", "rows.result")]
    nodes = [
        *(a("loop", "box"), a("rows", "each", parentId="loop")),
        *(one("keyed"), a("two", parentId="rows")),
    ]
    return plan_of(nodes, ways if links else ways[:2])


def test_a_run_that_is_an_item_runs_what_is_in_the_container() -> None:
    asked: list[ItemGiven] = []

    def above(given: ItemGiven) -> Around:
        asked.append(given)
        return Around({"before": {"value": 9}})

    state = fold(deep(), [RunQueued(trigger=""), GIVEN, RunStarted()], above=above)
    assert asked == [GIVEN]
    assert (state.head, state.has_started) == (3, True)
    assert [step.path for step in state.steps] == ["one", "two"]
    claim = World(deep()).claim()
    call = call_of(claim, state, state.step("one"), attempt=1, started_at=START)
    assert (call.item, call.index, call.inputs) == ({"a": 1}, 3, {"value": {"a": 1}})
    assert dict(call.upstream) == {"before": {"value": 9}}
    tenant, lineage = uuid.UUID(int=1), uuid.UUID(int=2)
    key = f"{tenant}/{lineage}/outer[0]/loop[1]/rows[3]/one/3/5"
    assert (call.path, call.idempotency_key) == ("one", key)
    assert given_to(state, "one") == StepGiven(path="one", generation=5)
    assert dict(fold(deep(), [RunQueued(trigger=""), GIVEN]).frame.outer) == {}


@pytest.mark.parametrize("links", [True, False])
def test_its_result_is_what_the_item_comes_to(*, links: bool) -> None:
    ends: list[Event] = [completed("one", value=1), completed("two", value=2)]
    state = fold(deep(links=links), [RunQueued(trigger=""), GIVEN, RunStarted(), *ends])
    assert state.result() == {"result": 2 if links else {"two": {"value": 2}}}


def test_a_run_is_an_item_from_the_start() -> None:
    state = fold(deep(), [RunQueued(trigger="")])
    with pytest.raises(IllegalTransition):
        state.apply(GIVEN)
    assert moved(fold(deep(), [RunQueued(trigger="")]), [GIVEN]).head == 2


def parked() -> World:
    """A run whose map has handed out what looks after its items."""
    plan = each(one("waiting"), links=[to("rows.item", "one"), to("one", "rows.result")])
    it = World(plan, script=lambda c: StepOpens(opening=OPENING) if c.path == "rows" else echo(c))
    it.maps.parks = True
    it.slice()
    return it


def waiting_items(
    bad: set[int], *, seed: int = 0, cut_at: int | None = None, like: MapOpening = OPENING
) -> World:
    """A run whose items wait a minute, have an effect, and are looked after; some fail at first."""
    ways = [to("rows.item", "ask"), to("ask", "one"), to("one", "rows.result")]
    plan = each(a("ask", "waiting", parentId="rows"), one("keyed"), links=ways)

    def inside(call: StepCall) -> StepOutcome:
        if call.path == "ask":
            return StepWaits(wait=Wait(kind=WaitKind.TIMER, seconds=60, due={"value": 1}))
        if call.index in bad:
            return StepFailed(code="NO", message="no")
        return echo(call)

    it = World(plan, script=lambda _: StepOpens(opening=like), seed=seed, cut_at=cut_at)
    it.maps.parks = True
    chance = random.Random(seed)
    it.items = ItemWorlds(
        make=lambda cut: World(plan, script=inside, seed=chance.getrandbits(9), cut_at=cut),
        chance=chance,
    )
    return it


@settings(deadline=None, max_examples=40)
@given(st.sets(st.integers(0, 3)), st.integers(0, 9), st.data())
def test_runs_cut_anywhere_above_and_below_come_to_the_same(
    bad: set[int], seed: int, data: st.DataObject
) -> None:
    like = dataclasses.replace(OPENING, policy=Policy.COLLECT, tolerated=2)
    calm = waiting_items(bad, seed=seed, like=like)
    ended = calm.finish()
    assert ended.status == ("FAILED" if len(bad) > 2 else "SUCCEEDED")
    it = waiting_items(
        bad, seed=seed, like=like, cut_at=data.draw(st.integers(1, max(calm.points, 1)))
    )
    state = it.finish()
    assert state.status == ended.status
    assert it.maps.items == calm.maps.items
    assert all(count == 1 for count in it.maps.runs.values()), "one run for each attempt of an item"
    assert it.items is not None
    for (_, index, _), world in it.items.runs.items():
        assert set(world.effects) <= {
            f"{uuid.UUID(int=1)}/{uuid.UUID(int=2)}/rows[{index}]/one/{index}/1"
        }
        assert world.folded().status.is_terminal


def test_a_run_that_is_canceled_ends_after_its_items() -> None:
    it = waiting_items(set())
    it.slice()
    it.work_chunk(it.maps.chunks[0])
    it.mail.append(Inbox(cancel=CancelRequest()))
    assert it.finish().status == "CANCELED"
    assert it.items is not None
    assert {world.folded().status for world in it.items.runs.values()} == {"CANCELED"}


def test_items_rest_with_their_run_and_go_on_with_it() -> None:
    it = waiting_items(set())
    it.slice()
    assert it.items is not None
    for chunk in tuple(it.maps.chunks):
        it.work_chunk(chunk)
    it.mail.append(Inbox(pause=PauseRequest(is_wanted=True)))
    it.slice()
    for _ in range(3):
        for chunk in tuple(it.maps.chunks):
            it.work_chunk(chunk)
    assert {world.folded().status for world in it.items.runs.values()} == {"PAUSED"}
    it.mail.append(Inbox(pause=PauseRequest(is_wanted=False)))
    assert it.finish().status == "SUCCEEDED"


def test_what_looks_after_items_takes_one_slot_where_runs_are_owned() -> None:
    it = parked()
    assert [(chunk.pool, chunk.slots) for chunk in it.maps.chunks] == [("io", 1), ("io", 1)]
    assert it.folded().mapping[0].opening.parks
    body = plan_of([a("rows", "each"), one("waiting", resources={"pool": "cpu"})])
    other = World(body, script=lambda _: StepOpens(opening=OPENING))
    other.slice()
    assert {chunk.pool for chunk in other.maps.chunks} == {"io"}


def test_items_hear_of_a_pause_and_of_its_end() -> None:
    it = parked()
    it.mail.append(Inbox(pause=PauseRequest(is_wanted=True)))
    it.slice()
    assert it.maps.woken == 1
    assert len(it.maps.chunks) == 2, "they stay out: their items rest, and must be stopped with it"
    it.mail.append(Inbox(pause=PauseRequest(is_wanted=False)))
    it.slice()
    assert it.maps.woken == 2
    it.slice()
    assert it.maps.woken in (2, 3), "once more by an owner that knows of it from history alone"
    assert it.finish().status == "SUCCEEDED"
