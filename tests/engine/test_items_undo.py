"""Undoing what the items of a map did: chunk by chunk, the last first, wherever it is cut."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from apps.executions.engine.decide import CancelRequest
from apps.executions.engine.items_undo import ItemsUndo
from apps.executions.engine.map_desk import awaited
from apps.executions.engine.mapping import ChunkCompleted, ChunkResult
from apps.executions.engine.ports import StepCall, StepFailed, StepOpens, StepOutcome
from apps.executions.engine.slice_ports import Inbox, Left
from apps.executions.engine.state import RunStatus
from apps.workflows.graph.mapping import MapOpening
from tests.engine.cases import plan_of, statuses, types
from tests.engine.rescues import undo
from tests.engine.simulated_maps import MapBench
from tests.engine.simulator import World, echo
from tests.factories.graphs import a, to

OPENING = MapOpening(total=7, items=list(range(7)), chunk_size=3, concurrency=2)
LINKS = [to("rows.item", "one"), to("one", "rows.result"), to("rows", "after")]


def script(call: StepCall) -> StepOutcome:
    if call.node.id == "rows":
        return StepOpens(opening=OPENING)
    return StepFailed(code="NO", message="no") if call.node.id == "after" else echo(call)


def nodes(**fields: Any) -> list[dict[str, Any]]:
    """rows (body: one, undone by back) → after, which fails."""
    return [
        a("rows", "each", **fields),
        a("one", "keyed", parentId="rows", compensation="back"),
        a("back", "keyed", parentId="rows"),
        a("after", onError=undo()),
    ]


def world(*, stuck: frozenset[int] = frozenset(), is_strict: bool = True, **more: Any) -> World:
    bench = MapBench(stuck=stuck, is_strict=is_strict)
    return World(plan_of(nodes(), LINKS), script=script, maps=bench, **more)


def undone(it: World) -> list[int]:
    return sorted(index for _, index in it.maps.undone)


def begun(it: World) -> None:
    """Until chunks that undo are out."""
    for _ in range(50):
        outcome = it.slice()
        if it.folded().status is RunStatus.COMPENSATING and it.maps.chunks:
            return
        assert outcome.left is Left.PARKED
        if it.tasks:
            it.work(it.tasks[0])
        elif it.maps.chunks:
            it.work_chunk(it.maps.chunks[0])
    raise AssertionError("nothing is undone")


def test_every_item_is_undone_and_the_map_says_so_wherever_a_worker_dies() -> None:
    calm = world()
    state = calm.finish()
    assert (state.status, state.error and state.error.code) == (RunStatus.FAILED, "NO")
    assert undone(calm) == list(range(7))
    assert types(calm)[-2:] == ["step.compensated rows", "run.failed"]
    assert statuses(calm)["rows"] == "COMPENSATED"
    for cut_at in range(1, calm.points + 1):
        it = world(cut_at=cut_at)
        assert it.finish().status is RunStatus.FAILED
        assert undone(it) == list(range(7))
        assert statuses(it) == statuses(calm)


@pytest.mark.parametrize("seed", range(4))
def test_chunks_that_are_out_when_a_run_is_to_be_undone_are_called_back(seed: int) -> None:
    drawn = [*nodes()[:3], a("beside", onError=undo())]
    fails = StepFailed(code="NO", message="no")
    bench = MapBench()
    it = World(
        plan_of(drawn, LINKS[:2]),
        script=lambda call: fails if call.node.id == "beside" else script(call),
        maps=bench,
        seed=seed,
    )
    while it.folded().status in (RunStatus.QUEUED, RunStatus.RUNNING):
        it.slice()
    before = types(it)[: types(it).index("run.compensating")]
    assert before.count("chunk.dispatched rows") == before.count("chunk.completed rows")
    assert not it.maps.runs, "nobody has worked on a chunk"


def test_the_last_chunk_comes_first() -> None:
    it = world()
    begun(it)
    assert [chunk.chunk for chunk in it.maps.chunks] == [2, 1, 0][: OPENING.most_open]


def test_a_map_that_failed_is_undone_as_far_as_it_came() -> None:
    drawn = nodes(onError=undo())
    bench = MapBench(fails=lambda _path, index, _attempt: index == 1)
    it = World(plan_of(drawn, LINKS), script=script, maps=bench)
    state = it.finish()
    assert state.error is not None
    assert state.error.code == "MAP_ITEM_FAILED"
    assert undone(it)
    assert statuses(it)["rows"] == "FAILED"


@pytest.mark.parametrize("is_strict", [True, False])
def test_what_cannot_be_undone_is_told(is_strict: bool) -> None:
    it = world(stuck=frozenset({6}), is_strict=is_strict)
    state = it.finish()
    assert state.error is not None
    assert state.error.code == "COMPENSATION_FAILED"
    missed = ["rows[6]/one", "rows"] if is_strict else ["rows[6]/one"]
    assert state.error.details["notUndone"] == missed
    assert statuses(it)["rows"] == "SUCCEEDED"
    assert is_strict or undone(it) == list(range(6))


def test_who_cancels_meanwhile_is_told_what_is_not_undone() -> None:
    it = world()
    begun(it)
    it.mail.append(Inbox(cancel=CancelRequest()))
    state = it.finish()
    assert state.status is RunStatus.CANCELED
    assert state.error is not None
    assert state.error.details["notUndone"] == ["rows"]


def test_what_comes_late_or_of_another_chunk_does_not_count() -> None:
    it = world()
    begun(it)
    state = it.folded()
    late = ChunkCompleted(path="rows", attempt=1, chunk=2, done=1, failed=0, stopped=True)
    found = awaited(state, ChunkResult(event=late))
    assert found is not None
    assert found.undoes, "nobody had begun it"
    assert awaited(state, ChunkResult(event=dataclasses.replace(late, chunk=9))) is None


def test_chunks_go_and_come_in_order() -> None:
    one = ItemsUndo(4)
    assert one.due(2) == [3, 2]
    one.went(3)
    one.went(2)
    one.is_recalled = True
    assert one.due(2) == []
    one.came(3, misses=0, stopped=True)
    assert one.is_recalled
    one.came(2, misses=1, stopped=False)
    assert (one.is_recalled, one.misses, one.due(8)) == (False, 1, [3, 1, 0])
    for chunk in (3, 1, 0):
        one.went(chunk)
        one.came(chunk, misses=0, stopped=False)
    assert one.is_over


def test_what_runs_of_items_did_is_undone_chunk_by_chunk_too() -> None:
    drawn = [*nodes(), a("wait", "waiting", parentId="rows")]
    it = World(plan_of(drawn, LINKS), script=script)
    state = it.finish()
    assert (state.status, state.error and state.error.code) == (RunStatus.FAILED, "NO")
    assert undone(it) == list(range(7))
