"""A run's history as lines for people: when each attempt began, and how long it took."""

from __future__ import annotations

import datetime as dt

from apps.executions.engine.history import Event, StepCompleted, StepDispatched
from apps.executions.engine.iteration_events import StepIterated
from apps.executions.engine.mapping import ChunkCompleted, ChunkDispatched, StepOpened
from apps.executions.engine.ports import Usage
from apps.executions.engine.state import RunStatus, StepStatus
from apps.executions.engine.wait_events import StepWaiting
from apps.executions.timeline import Attempt, attempts_of
from apps.workflows.graph.mapping import MapOpening
from apps.workflows.graph.waits import Wait, WaitKind

START = dt.datetime(2026, 11, 23, tzinfo=dt.UTC)
DOCUMENT = {"nodes": [{"id": "rows", "type": "control.map"}]}


def at(seconds: float) -> dt.datetime:
    return START + dt.timedelta(seconds=seconds)


def line(*events: Event, recorded: float) -> Attempt:
    history = [(at(recorded), event) for event in events]
    (found,) = attempts_of(DOCUMENT, history, run=RunStatus.SUCCEEDED)
    return found


def completed(begun: float, *, wall_ms: int = 0) -> StepCompleted:
    usage = Usage(wall_ms=wall_ms)
    return StepCompleted(
        path="rows", attempt=1, outputs={}, conditions={}, usage=usage, started_at=at(begun)
    )


def test_a_map_takes_from_its_look_at_the_items_to_the_gathering() -> None:
    opening = MapOpening(total=1, items=[1])
    found = line(
        StepOpened(path="rows", attempt=1, opening=opening, usage=Usage(), started_at=at(0)),
        ChunkDispatched(path="rows", attempt=1, chunk=0, pool="io"),
        ChunkCompleted(path="rows", attempt=1, chunk=0, done=1, failed=0),
        StepDispatched(path="rows", attempt=1, pool="io"),
        completed(5, wall_ms=2),
        recorded=6,
    )
    assert found.duration_ms(until=at(9)) == 5002


def test_a_loop_takes_from_its_first_iteration() -> None:
    again = StepIterated(path="rows", attempt=1, index=0, values={}, started_at=at(1))
    found = line(again, completed(4), recorded=4.5)
    assert found.duration_ms(until=at(9)) == 3500


def test_a_wait_takes_until_its_answer() -> None:
    asked = StepWaiting(
        path="rows", attempt=1, started_at=at(0), wait=Wait(kind=WaitKind.APPROVAL, name="?")
    )
    found = line(asked, completed(0, wall_ms=1), recorded=60)
    assert found.duration_ms(until=at(99)) == 60_000


def test_what_waited_when_the_run_ended_waited_until_then() -> None:
    asked = StepWaiting(
        path="rows", attempt=1, started_at=at(0), wait=Wait(kind=WaitKind.SIGNAL, name="go")
    )
    found = line(asked, recorded=0)
    assert (found.status, found.duration_ms(until=at(30))) == (StepStatus.CANCELED, 30_000)


def test_no_step_ends_before_it_begins_whatever_the_clocks_say() -> None:
    assert line(completed(1), recorded=0.995).duration_ms(until=at(9)) == 0
