"""What is rare about failures that call others: repeated calls, pauses, waits, what follows."""

from __future__ import annotations

import datetime as dt

from apps.executions.engine.history import RunEnded
from apps.executions.engine.pausing import PauseRequest
from apps.executions.engine.ports import StepCall, StepDone, StepOutcome, StepRepeats, StepWaits
from apps.executions.engine.record import StepRecord
from apps.executions.engine.rescue import Undoing
from apps.executions.engine.rescue_events import StepCalled, StepCompensated
from apps.executions.engine.slice_ports import Inbox
from apps.executions.engine.state import RunStatus, StepStatus
from apps.executions.engine.undoing import next_event
from apps.workflows.graph.declaration import Wait, WaitKind
from tests.engine.cases import failing, plan_of, statuses
from tests.engine.rescues import LINKS, SHOP, fallback, no, scripts, status, undo
from tests.engine.simulator import START, World, echo
from tests.factories.graphs import a, to


def test_a_fallback_inside_a_loop_belongs_to_its_iteration() -> None:
    def answer(call: StepCall) -> StepOutcome:
        if call.path == "c":
            index = 0 if call.inside is None else call.inside.index + 1
            if index < 2:
                return StepRepeats(values={"item": index, "index": index})
            return StepDone(outputs={"value": index})
        return no()(call) if call.path.endswith("/x") else echo(call)

    nodes = [
        a("c", "box"),
        a("x", parentId="c", onError=fallback("cheap")),
        a("cheap", parentId="c"),
        a("e"),
    ]
    world = World(
        plan_of(nodes, [to("c.item", "x"), to("x", "c.next"), to("c", "e")]), script=answer
    )
    assert world.finish().status is RunStatus.SUCCEEDED
    assert statuses(world)["c[1]/x/cheap"] == "SUCCEEDED"


def test_a_node_that_is_called_again_gets_a_place_of_its_own() -> None:
    nodes = [a("dear", onError=fallback("cheap")), a("cheap")]
    world = World(plan_of(nodes), script=scripts(dear=no()))
    state = world.finish()
    assert state.path_of_copy(state.step("dear"), "cheap") == "dear/cheap~2"


def test_undoing_that_misses_nothing_in_particular_leaves_nothing() -> None:
    undoing = Undoing()
    undoing.missed(is_cut=True)
    assert (undoing.left, undoing.is_cut) == ([], True)


def test_the_record_of_a_copy_begins_when_it_is_called() -> None:
    record = StepRecord(StepStatus.READY)
    record.attempt = 3
    record.apply(StepCalled(path="a/undo", by="a"))
    assert record.attempt == 0


def test_what_was_undone_in_an_earlier_run_of_the_chain_is_known_as_such() -> None:
    world = World(plan_of([a("a", "keyed")]))
    state = world.folded()
    state.records[0].status = StepStatus.SUCCEEDED
    state.apply(StepCompensated(path="a", by="a/undo"))
    assert state.records[0].status is StepStatus.COMPENSATED
    assert state.rescue.undoing is None


def test_an_alternative_path_may_part_and_meet() -> None:
    nodes = [*SHOP[:2], a("reserve", "keyed", onError=undo("rescue")), *SHOP[3:]]
    nodes += [a("rescue"), a("left"), a("right"), a("both")]
    links = [*LINKS, to("reserve.error", "rescue"), to("rescue", "left"), to("rescue", "right")]
    links += [to("left", "both.all"), to("right", "both.all")]
    world = World(plan_of(nodes, links), script=scripts(reserve=no()))
    assert world.finish().status is RunStatus.SUCCEEDED
    assert status(world, "both") == "SUCCEEDED"


def test_a_compensation_may_wait() -> None:
    def refund(call: StepCall) -> StepOutcome:
        if call.given is not None:
            return call.given
        due = {"value": 1}
        return StepWaits(wait=Wait(kind=WaitKind.TIMER, seconds=60.0, due=due))

    world = World(plan_of(SHOP, LINKS), script=scripts(reserve=no(), refund=refund))
    assert world.finish().status is RunStatus.FAILED
    assert status(world, "charge") == status(world, "order") == "COMPENSATED"


def test_a_run_that_is_undone_may_rest() -> None:
    world = World(plan_of(SHOP, LINKS), script=scripts(reserve=no()), seconds={"reserve": 2.0})
    paused = Inbox(pause=PauseRequest(is_wanted=True))
    world.mail_at = (START + dt.timedelta(seconds=1), paused)
    world.slice()
    assert world.folded().is_paused
    assert status(world, "order") == "SUCCEEDED"
    world.mail.append(Inbox(pause=PauseRequest(is_wanted=False)))
    assert world.finish().status is RunStatus.FAILED
    assert status(world, "order") == "COMPENSATED"


def test_a_container_that_announced_itself_goes_on_in_its_body() -> None:
    def answer(call: StepCall) -> StepOutcome:
        if call.path == "c" and call.inside is None:
            return StepRepeats(values={"item": 1, "index": 0})
        return echo(call)

    nodes = [a("c", "box"), a("x", parentId="c")]
    world = World(plan_of(nodes, [to("c.item", "x")]), script=answer, seconds={"c": 0.8})
    assert world.finish().status is RunStatus.SUCCEEDED


def test_a_join_inside_a_loop_spares_what_the_container_feeds() -> None:
    def answer(call: StepCall) -> StepOutcome:
        if call.path == "c" and call.inside is None:
            return StepRepeats(values={"item": 1, "index": 0})
        return echo(call)

    join = {"id": "j", "type": "control.join", "configuration": {"needed": 1}, "parentId": "c"}
    nodes = [a("c", "box"), a("x", parentId="c"), a("y", parentId="c"), join]
    links = [to("c.item", "x"), to("c.item", "y"), to("x", "j.branches"), to("y", "j.branches")]
    world = World(plan_of(nodes, links), script=answer, seconds={"c[0]/y": 60.0})
    assert world.finish().status is RunStatus.SUCCEEDED
    assert status(world, "c[0]/j") == "SUCCEEDED"


def test_a_step_that_takes_all_the_time_of_a_run_that_is_undone_is_the_runs_end() -> None:
    late = failing("STEP_TIMEOUT")
    plan = plan_of(SHOP, LINKS, onCancel="compensate")
    # Two steps of a millisecond come before it.
    world = World(plan, script=scripts(reserve=late), seconds={"reserve": 9.998})
    world.deadline_at = START + dt.timedelta(seconds=10)
    assert world.finish().status is RunStatus.TIMED_OUT
    assert (status(world, "charge"), world.stops) == ("COMPENSATED", [])


def test_a_run_that_is_there_to_undo_what_another_did_has_succeeded_when_that_is_done() -> None:
    world = World(plan_of([a("a", "keyed")]))
    undoing = Undoing()
    state = world.folded()
    state.status = RunStatus.COMPENSATING
    assert next_event(state, undoing) == RunEnded(status=RunStatus.SUCCEEDED)
