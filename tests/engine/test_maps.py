"""A map as its run sees it: chunks out and in, failures tolerated or not, deaths of workers."""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apps.executions.engine.codec import decode, encode
from apps.executions.engine.decide import CancelRequest
from apps.executions.engine.map_desk import awaited, chunk_pool
from apps.executions.engine.mapping import (
    ChunkCompleted,
    ChunkDispatched,
    ChunkResult,
    MapProgress,
    StepOpened,
    are_open,
    map_work,
)
from apps.executions.engine.pausing import PauseRequest
from apps.executions.engine.plan import Plan
from apps.executions.engine.ports import StepCall, StepOpens, StepOutcome, Usage
from apps.executions.engine.slice_ports import Inbox, Left
from apps.executions.engine.state import IllegalTransition
from apps.workflows.graph.mapping import MapOpening, Policy
from tests.engine.cases import plan_of, types
from tests.engine.simulator import START, World, echo
from tests.factories.graphs import a, to

OPENING = MapOpening(total=10, items=list(range(10)), chunk_size=3, concurrency=2)


def each(**fields: Any) -> Plan:
    """before → rows (body: one) → after."""
    return plan_of(
        [a("before"), a("rows", "each", **fields), a("one", parentId="rows"), a("after")],
        [
            to("before", "rows"),
            to("rows.item", "one"),
            to("one", "rows.result"),
            to("rows", "after"),
        ],
    )


def opening(like: MapOpening) -> Any:
    """The map opens, everything else echoes."""

    def answer(call: StepCall) -> StepOutcome:
        if call.path == "rows":
            return StepOpens(opening=like, usage=Usage(cpu_seconds=0.25))
        return echo(call)

    return answer


def world(like: MapOpening = OPENING, **fields: Any) -> World:
    node = fields.pop("node", {})
    return World(each(**node), script=opening(like), **fields)


def test_chunks_go_out_as_many_as_may_and_the_results_come_in_order() -> None:
    it = world()
    state = it.finish()
    assert state.status == "SUCCEEDED"
    assert it.maps.most_open == 2
    history = types(it)
    assert history.count("chunk.dispatched rows") == 4
    assert history.count("chunk.completed rows") == 4
    assert state.records[state.step("rows").index].outputs == {"value": list(range(10))}
    assert state.totals.attempts == 2 + 1 + 1 + 10  # The gathering is one more.
    assert state.totals.cpu_seconds == 0.25 + 4 * 0.5


def test_what_a_run_in_quarantine_hands_out_goes_to_everybody() -> None:
    it = world()
    it.slice(pool="quarantine")
    assert {chunk.pool for chunk in it.maps.chunks} == {"io"}


def test_an_empty_map_gathers_nothing() -> None:
    it = world(dataclasses.replace(OPENING, total=0, items=[]))
    assert it.finish().status == "SUCCEEDED"
    assert "chunk.dispatched rows" not in types(it)


def test_the_first_failure_ends_a_map_that_fails_fast() -> None:
    it = world()
    it.maps.fails = lambda _path, index, _attempt: index == 4
    state = it.finish()
    assert state.status == "FAILED"
    assert state.error is not None
    assert state.error.code == "MAP_ITEM_FAILED"
    assert state.error.message == "Item 4 failed: no"
    assert state.error.details["first"] == {"index": 4, "code": "NO", "message": "no"}
    assert not it.maps.chunks, "what else was out came back first"


@pytest.mark.parametrize(
    ("tolerated", "status"), [(None, "SUCCEEDED"), (2, "SUCCEEDED"), (1, "FAILED")]
)
def test_so_many_failures_are_tolerated(tolerated: int | None, status: str) -> None:
    like = dataclasses.replace(OPENING, policy=Policy.COLLECT, tolerated=tolerated)
    it = world(like)
    it.maps.fails = lambda _path, index, _attempt: index in (1, 8)
    state = it.finish()
    assert state.status == status
    if state.error is not None:
        assert state.error.code == "MAP_FAILURES_EXCEEDED"
        assert state.error.message == "2 of 10 items failed, 1 may. The first: no"


def test_a_map_that_is_tried_again_works_on_failed_items_alone() -> None:
    it = world(node={"retry": {"maxAttempts": 2, "backoffSeconds": 5}})
    it.maps.fails = lambda _path, index, attempt: index == 4 and attempt == 1
    assert it.finish().status == "SUCCEEDED"
    again = {index for _, index, attempt in it.maps.runs if attempt == 2}
    first = {index for _, index, attempt in it.maps.runs if attempt == 1}
    assert 4 in again
    assert again & first == {4}
    assert "step.attempt_failed rows" in types(it)


def test_a_canceled_run_calls_its_chunks_back() -> None:
    it = world()
    assert it.slice().left is Left.PARKED
    assert it.maps.chunks
    it.mail.append(Inbox(cancel=CancelRequest()))
    assert it.finish().status == "CANCELED"
    assert not it.maps.chunks


def test_a_run_whose_time_is_over_calls_its_chunks_back() -> None:
    it = world(deadline_at=START + dt.timedelta(seconds=5))
    it.slice()
    it.now += dt.timedelta(seconds=6)
    assert it.finish().status == "TIMED_OUT"
    assert not it.maps.chunks


def test_a_stopped_chunk_of_a_map_that_goes_on_is_handed_out_again() -> None:
    it = world()
    it.slice()
    it.maps.end(it.maps.chunks[0], it.say, stopped=True)
    assert it.finish().status == "SUCCEEDED"
    assert types(it).count("chunk.dispatched rows") == 5


def test_an_opening_from_another_process_comes_by_the_inbox() -> None:
    it = world(node={"resources": {"pool": "cpu"}})
    assert it.finish().status == "SUCCEEDED"
    assert types(it).count("step.dispatched rows") == 2, "once to open, once to gather"


def test_an_opening_that_history_cannot_hold_fails_the_step() -> None:
    it = world(dataclasses.replace(OPENING, items=["x" * 100_000]))
    state = it.finish()
    assert state.error is not None
    assert state.error.code == "OUTPUT_TOO_LARGE"


def test_a_long_look_at_the_items_is_announced() -> None:
    it = world(seconds={"rows": 2.0})
    assert it.finish().status == "SUCCEEDED"
    history = types(it)
    assert history.index("step.started rows") < history.index("step.opened rows")


def test_what_comes_late_or_twice_does_not_count() -> None:
    it = world()
    it.slice()
    state = it.folded()
    known = ChunkCompleted(path="rows", attempt=1, chunk=0, done=3, failed=0)
    assert awaited(state, ChunkResult(event=known))
    assert not awaited(state, ChunkResult(event=dataclasses.replace(known, attempt=2)))
    assert not awaited(state, ChunkResult(event=dataclasses.replace(known, chunk=3)))
    assert not awaited(state, ChunkResult(event=dataclasses.replace(known, path="before")))
    it.say(ChunkResult(event=dataclasses.replace(known, chunk=3)))
    assert it.finish().status == "SUCCEEDED"


def opened(like: MapOpening = OPENING, *, attempt: int = 1) -> StepOpened:
    return StepOpened(path="rows", attempt=attempt, opening=like, usage=Usage(), started_at=START)


def completed(chunk: int, *, done: int = 3, failed: int = 0, **fields: Any) -> ChunkCompleted:
    return ChunkCompleted(path="rows", attempt=1, chunk=chunk, done=done, failed=failed, **fields)


def test_a_later_attempt_keeps_clean_chunks_of_the_same_items() -> None:
    first = MapProgress(opened().opening, attempt=1)
    for chunk in (0, 1):
        first.apply(ChunkDispatched(path="rows", attempt=1, chunk=chunk, pool="io"))
    first.apply(completed(0))
    first.apply(completed(1, done=2, failed=1))
    again = MapProgress(opened().opening, attempt=2, before=first)
    assert (again.done, again.failed, list(again.due())) == (3, 0, [1, 2])
    like = dataclasses.replace(OPENING, chunk_size=4)
    other = MapProgress(like, attempt=2, before=first)
    assert (other.done, list(other.due())) == (0, [0, 1])


def test_a_verdict_without_a_known_failure_says_where_to_look() -> None:
    progress = MapProgress(opened().opening, attempt=1)
    progress.apply(ChunkDispatched(path="rows", attempt=1, chunk=0, pool="io"))
    progress.apply(completed(0, done=2, failed=1, stopped=True))
    assert progress.is_over
    assert list(progress.due()) == []
    assert progress.verdict().message == "An item failed: see the failed items"


def test_chunks_that_are_out_leave_nothing_to_do() -> None:
    progress = MapProgress(opened().opening, attempt=1)
    for chunk in progress.due():
        progress.apply(ChunkDispatched(path="rows", attempt=1, chunk=chunk, pool="io"))
    assert map_work({0: progress}) is None


def test_chunks_run_where_the_map_says_or_its_body_has_to() -> None:
    assert chunk_pool(each().step("rows")) is None
    assert chunk_pool(each().step("before")) is None
    assert chunk_pool(each(resources={"pool": "gpu"}).step("rows")) == "gpu"
    inner = plan_of([a("rows", "each"), a("one", parentId="rows", resources={"pool": "cpu"})])
    assert chunk_pool(inner.step("rows")) == "cpu"


@settings(deadline=None, max_examples=60)
@given(
    st.integers(0, 12),
    st.integers(1, 5),
    st.integers(1, 4),
    st.sampled_from([None, 0, 2]),
    st.sets(st.integers(0, 11)),
    st.integers(0, 3),
    st.data(),
)
def test_a_map_cut_anywhere_ends_the_same(
    total: int,
    size: int,
    concurrency: int,
    tolerated: int | None,
    bad: set[int],
    seed: int,
    data: st.DataObject,
) -> None:
    like = MapOpening(
        total=total,
        items=list(range(total)),
        chunk_size=size,
        concurrency=concurrency,
        policy=Policy.COLLECT,
        tolerated=tolerated,
    )

    def fresh(**fields: Any) -> World:
        it = world(like, seed=seed, node={"retry": {"maxAttempts": 2}}, **fields)
        it.maps.fails = lambda _path, index, attempt: index in bad and attempt < 2
        return it

    calm = fresh()
    state = calm.finish()
    expected = state.status, state.records[state.step("rows").index].outputs
    for cut_at in data.draw(st.sets(st.integers(1, calm.points), max_size=5)):
        it = fresh(cut_at=cut_at)
        state = it.finish()
        assert (state.status, state.records[state.step("rows").index].outputs) == expected
        assert all(count == 1 for count in it.maps.runs.values()), "recorded once an attempt"
        assert not it.maps.chunks


def test_a_chunk_of_what_was_never_opened_is_no_history() -> None:
    with pytest.raises(IllegalTransition):
        world().folded().records[0].map_progress()


def test_events_that_cost_nothing_say_so() -> None:
    for event in (opened(), completed(0), completed(0, usage=Usage(bytes_in=7))):
        row = encode(event)
        body = json.loads(row.body or "")
        assert decode(row.type, path=row.path, attempt=row.attempt, body=body) == event


def test_a_paused_run_hands_no_chunks_out() -> None:
    it = world()
    it.slice()
    it.mail.append(Inbox(pause=PauseRequest(is_wanted=True)))
    for chunk in tuple(it.maps.chunks):
        it.work_chunk(chunk)
    it.slice()
    assert it.folded().is_paused
    assert not it.maps.chunks
    it.mail.append(Inbox(pause=PauseRequest(is_wanted=False)))
    assert it.finish().status == "SUCCEEDED"


def test_a_paused_run_wants_its_open_chunks_back() -> None:
    it = world()
    it.slice()
    assert it.maps.chunks
    it.mail.append(Inbox(pause=PauseRequest(is_wanted=True)))
    it.slice()
    assert not it.maps.chunks, "they came back, and the run rests"
    it.slice()
    assert it.folded().is_paused
    assert not are_open(it.folded().mapping)
    it.mail.append(Inbox(pause=PauseRequest(is_wanted=False)))
    assert it.finish().status == "SUCCEEDED"
    assert set(it.maps.runs.values()) == {1}
