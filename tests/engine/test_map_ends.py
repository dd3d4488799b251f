"""Maps that a join needs no longer, and what a run hears of items that failed."""

from __future__ import annotations

import json

from apps.executions.engine.failure import Failure
from apps.executions.engine.map_rows import read_chunk, result_body
from apps.executions.engine.mapping import ChunkCompleted, MapProgress, StepOpened, map_work
from apps.executions.engine.ports import StepCall, StepOpens, StepOutcome, Usage
from apps.executions.engine.state import RunStatus
from tests.engine.cases import plan_of, statuses, types
from tests.engine.simulator import START, World, echo
from tests.engine.test_maps import OPENING
from tests.factories.graphs import a, to


def script(call: StepCall) -> StepOutcome:
    return StepOpens(opening=OPENING) if call.node.id == "rows" else echo(call)


def test_a_join_with_enough_calls_the_items_back() -> None:
    join = {"id": "j", "type": "control.join", "configuration": {"needed": 1}}
    nodes = [a("quick"), a("rows", "each"), a("one", parentId="rows"), join, a("e")]
    links = [
        to("rows.item", "one"),
        to("one", "rows.result"),
        to("quick", "j.branches"),
        to("rows", "j.branches"),
        to("j", "e"),
    ]
    world = World(plan_of(nodes, links), script=script, seconds={"quick": 2})
    assert world.finish().status is RunStatus.SUCCEEDED
    assert statuses(world)["rows"] == "CANCELED"
    assert not world.maps.chunks
    history = types(world)
    assert history.count("chunk.dispatched rows") == history.count("chunk.completed rows") > 0
    assert history.index("chunk.completed rows") < history.index("step.canceled rows")


def test_a_map_that_nobody_needs_hands_nothing_out() -> None:
    opened = StepOpened(path="rows", attempt=1, opening=OPENING, started_at=START, usage=Usage())
    progress = MapProgress(opened.opening, attempt=opened.attempt)
    assert map_work({0: progress}, halted={0}) is None
    progress.open[0] = None
    found = map_work({0: progress}, halted={0})
    assert found is not None
    assert (found.recalls, found.chunks) == ((0,), ())
    progress.is_recalled = True
    assert map_work({0: progress}, halted={0}) is None


def test_the_largest_failure_of_an_item_reaches_the_run() -> None:
    worst = Failure(code="X" * 64, message="\x01" * 5_000, path="rows", details={"a": "x" * 2_000})
    event = ChunkCompleted(
        path="rows",
        attempt=1,
        chunk=0,
        done=0,
        failed=1,
        failure={"index": 0, **worst.to_json()},
    )
    assert read_chunk(json.loads(result_body(event))).event == event
