"""Undoing maps that were taken over from another run, and runs that rest while they are undone."""

from __future__ import annotations

import dataclasses
import json

import pytest

from apps.executions.engine.codec import decode, encode
from apps.executions.engine.decide import CancelRequest
from apps.executions.engine.lineage import inherit, kept_maps
from apps.executions.engine.mapping import ChunkDispatched, StepOpened
from apps.executions.engine.pausing import PauseRequest
from apps.executions.engine.ports import StepCall, StepFailed, StepOutcome
from apps.executions.engine.record import StepRecord
from apps.executions.engine.seeds import MapKept, StepGiven, StepReused
from apps.executions.engine.slice_ports import Inbox
from apps.executions.engine.state import RunStatus, StepStatus
from apps.workflows.graph.mapping import MapOpening
from tests.engine.cases import plan_of, statuses, types
from tests.engine.rescues import undo
from tests.engine.simulated_maps import MapBench
from tests.engine.simulator import START, World, echo
from tests.engine.test_items_undo import LINKS, begun, nodes, undone
from tests.engine.test_items_undo import script as undoing
from tests.factories.graphs import a, to

OPENING = MapOpening(total=7, items=list(range(7)), chunk_size=3, concurrency=2)
KEPT = MapKept(run_id="first", opening=OPENING, chunks=3)
SEED = StepGiven(path="rows", generation=2, kept=KEPT)
TAKEN = StepReused(path="rows", attempt=1, run_id="first", outputs={"results": [1]})


def fails_after(call: StepCall) -> StepOutcome:
    return StepFailed(code="NO", message="no") if call.node.id == "after" else echo(call)


def taken(*seeds: StepGiven, cut_at: int | None = None) -> World:
    """A run that has taken over rows, and whose next step fails."""
    drawn = [nodes()[0], *nodes()[1:3], a("after", onError=undo())]
    links = [*LINKS[:2], to("rows.results", "after")]
    it = World(plan_of(drawn, links), script=fails_after, cut_at=cut_at)
    it.maps.items = {("rows", index): (1, True) for index in range(7)}
    it.rows += [*(encode(seed) for seed in seeds), encode(TAKEN)]
    return it


def test_a_seed_comes_back_from_history() -> None:
    row = encode(SEED)
    body = json.loads(row.body or "")
    assert decode(row.type, path=row.path, attempt=row.attempt, body=body) == SEED


def test_what_was_taken_over_is_undone_wherever_a_worker_dies() -> None:
    calm = taken(SEED)
    state = calm.finish()
    assert (state.status, state.error and state.error.code) == (RunStatus.FAILED, "NO")
    assert state.records[0].map_progress().source == "first"
    assert undone(calm) == list(range(7))
    assert statuses(calm)["rows"] == "COMPENSATED"
    for cut_at in range(1, calm.points + 1):
        it = taken(SEED, cut_at=cut_at)
        assert it.finish().status is RunStatus.FAILED
        assert undone(it) == list(range(7))
        assert types(it) == types(calm)


def test_what_no_seed_speaks_of_is_named() -> None:
    it = taken()
    error = it.finish().error
    assert error is not None
    assert (error.code, error.details["notUndone"]) == ("COMPENSATION_FAILED", ["rows"])
    assert not it.maps.undone


def first(*, succeeds: bool) -> World:
    """rows and what is behind it, which fails."""
    drawn = [*nodes()[:3], a("after")] if succeeds else nodes()
    fails = undoing if not succeeds else lambda c: undoing(c) if c.path == "rows" else echo(c)
    it = World(plan_of(drawn, LINKS), script=fails)
    it.finish()
    return it


def test_who_repeats_a_run_says_what_its_maps_did() -> None:
    it = first(succeeds=True)
    state = it.folded()
    found = inherit(state, it.plan)
    (seed,) = kept_maps(state, found, run_id="this")
    assert seed == StepGiven(path="rows", kept=MapKept(run_id="this", opening=OPENING, chunks=3))
    again = taken(SEED).folded()
    (seed,) = kept_maps(again, inherit(again, taken().plan), run_id="that")
    assert seed == SEED, "it is whose it was"


@pytest.mark.parametrize("is_taken", [True, False])
def test_a_map_that_is_undone_is_not_gone_on_with(*, is_taken: bool) -> None:
    it = taken(SEED) if is_taken else first(succeeds=False)
    state = it.finish() if is_taken else it.folded()
    found = inherit(state, it.plan)
    assert "rows" in found.redone
    assert not found.maps
    assert not list(kept_maps(state, found, run_id="this"))


def test_a_reader_without_seeds_passes_over_chunks_that_undo() -> None:
    record = StepRecord(StepStatus.SUCCEEDED)
    gone = ChunkDispatched(path="rows", attempt=1, chunk=0, pool="io", undoes=True)
    record.apply(gone)
    assert record.mapping is None


def paused(it: World, *, is_wanted: bool) -> None:
    it.mail.append(Inbox(pause=PauseRequest(is_wanted=is_wanted)))
    it.slice()


@pytest.mark.parametrize("parks", [False, True])
def test_a_run_that_rests_hands_nothing_out_and_goes_on_where_it_was(*, parks: bool) -> None:
    it = World(plan_of(nodes(), LINKS), script=undoing, maps=MapBench())
    begun(it)
    it.maps.parks = parks
    if parks:
        # As if its items were runs.
        events = enumerate(it.events())
        at, event = next((at, one) for at, one in events if isinstance(one, StepOpened))
        like = dataclasses.replace(event.opening, parks=True)
        it.rows[at] = encode(dataclasses.replace(event, opening=like))
    assert it.folded().is_asking is parks
    paused(it, is_wanted=True)
    state = it.folded()
    assert state.status is RunStatus.PAUSED
    assert bool(it.maps.chunks) is parks, "they come back, or rest as their items do"
    dispatched = types(it).count("chunk.dispatched rows")
    it.slice()
    assert types(it).count("chunk.dispatched rows") == dispatched
    woken = it.maps.woken
    paused(it, is_wanted=False)
    assert it.folded().status is RunStatus.COMPENSATING
    assert it.maps.woken - woken == (1 if parks else 0)
    state = it.finish()
    assert (state.status, state.error and state.error.code) == (RunStatus.FAILED, "NO")
    assert undone(it) == list(range(7))


def test_who_rests_may_be_canceled_and_is_not_late() -> None:
    drawn = [a("pay", "keyed", compensation="refund"), a("refund", "keyed"), *nodes()]
    it = World(plan_of(drawn, LINKS), script=undoing, maps=MapBench())
    begun(it)
    it.deadline_at = START
    paused(it, is_wanted=True)
    it.slice()
    assert it.folded().status is RunStatus.PAUSED, "its deadline does not count"
    it.mail.append(Inbox(cancel=CancelRequest()))
    assert it.finish().status is RunStatus.CANCELED
