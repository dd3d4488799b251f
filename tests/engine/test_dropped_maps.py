"""Maps whose step ends beside them: nothing of them goes on, and nothing of them is left out."""

from __future__ import annotations

from typing import Any

from apps.executions.engine.ports import StepCall, StepFailed, StepOpens, StepOutcome, StepRepeats
from apps.executions.engine.slice_ports import Left
from apps.executions.engine.state import RunStatus
from apps.workflows.graph.mapping import MapOpening
from apps.workflows.graph.waits import Wait, WaitKind
from tests.engine.cases import plan_of, statuses, types
from tests.engine.rescues import undo
from tests.engine.simulator import World, echo
from tests.engine.test_waits import waits
from tests.factories.graphs import a, to

OPENING = MapOpening(total=10, items=list(range(10)), chunk_size=1, concurrency=2)
ROWS = [to("rows.item", "one"), to("one", "rows.result")]


def answer(call: StepCall) -> StepOutcome:
    """A loop goes round once, a map opens, `x` fails."""
    match call.node.id:
        case "c":
            assert call.inside is None, "a broken iteration is not asked about"
            return StepRepeats(values={"item": 1, "index": 0})
        case "rows":
            return StepOpens(opening=OPENING)
        case "x":
            return StepFailed(code="NO", message="no")
        case _:
            return echo(call)


def after(world: World, event: str) -> list[str]:
    """What history says behind an event."""
    said = types(world)
    return said[said.index(event) :]


def test_a_map_beside_a_run_that_is_undone_hands_nothing_out_any_more() -> None:
    nodes = [a("rows", "each"), a("one", parentId="rows"), a("x", onError=undo("alt")), a("alt")]
    world = World(plan_of(nodes, ROWS), script=answer, seconds={"x": 0.2})
    state = world.finish()
    assert state.status is RunStatus.SUCCEEDED
    assert (statuses(world)["rows"], statuses(world)["alt"]) == ("CANCELED", "SUCCEEDED")
    assert "chunk.dispatched rows" not in after(world, "run.compensating")
    assert not world.maps.chunks


def broken(**fields: Any) -> World:
    """A loop whose body has a map and a step that fails beside it."""
    nodes = [
        a("c", "box", **fields),
        a("rows", "each", parentId="c"),
        a("one", parentId="rows"),
        a("x", parentId="c"),
    ]
    links = [*ROWS, to("c.item", "x"), to("c.item", "rows")]
    return World(plan_of(nodes, links), script=answer, seconds={"c[0]/x": 0.2})


def test_a_broken_iteration_calls_the_chunks_in_it_back_before_it_ends() -> None:
    world = broken(onError="continue")
    assert world.finish().status is RunStatus.PARTIAL
    assert statuses(world)["c[0]/rows"] == "CANCELED"
    assert "chunk.dispatched c[0]/rows" not in after(world, "step.failed c[0]/x")
    assert not world.maps.chunks
    recalled = [path for batch in world.batches for path in batch.change.recalls]
    assert recalled == ["c[0]/rows"]


def test_a_run_with_a_map_on_its_way_does_not_only_wait() -> None:
    nodes = [a("rows", "each"), a("one", parentId="rows"), a("w")]

    def script(call: StepCall) -> StepOutcome:
        return waits(WaitKind.SIGNAL, name="go")(call) if call.path == "w" else answer(call)

    world = World(plan_of(nodes, ROWS), script=script)
    assert world.slice().left is Left.PARKED
    assert world.folded().waiting[world.folded().step("w").index] == Wait(
        kind=WaitKind.SIGNAL, name="go"
    )
    assert world.batches[-1].change.status is not RunStatus.WAITING
