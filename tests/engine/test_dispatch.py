"""Steps that run elsewhere: what their workers say, and how many run at once."""

from __future__ import annotations

import datetime as dt
import json
from typing import Any

import pytest

from apps.executions.engine.decide import CancelRequest
from apps.executions.engine.ports import (
    StepDone,
    StepFailed,
    StepOutcome,
    StepRepeats,
    StepStopped,
    StepWaits,
    StopReason,
    TransactionalWrite,
)
from apps.executions.engine.slice_ports import Inbox, Left
from apps.executions.engine.state import RunStatus
from apps.executions.engine.step import GPU_POOL
from apps.executions.engine.task import (
    TaskResult,
    TaskStarted,
    read_result,
    read_started,
    result_body,
    started_body,
)
from apps.workflows.graph.waits import Wait, WaitKind
from tests.engine.cases import plan_of, types
from tests.engine.simulator import START, World
from tests.factories.graphs import a, to

ELSEWHERE: dict[str, Any] = {"resources": {"pool": "cpu"}}
OUTCOMES: list[StepOutcome] = [
    StepDone(outputs={"value": 1}, conditions={"l": False}),
    StepDone(outputs={}, writes=(TransactionalWrite(key="at", value=[1]),)),
    StepFailed(code="NO", message="no", retryable=True, retry_after_seconds=2.0, details={"x": 1}),
    StepStopped(reason=StopReason.CANCELED),
    StepRepeats(values={"item": 1, "index": 0}),
    StepWaits(wait=Wait(kind=WaitKind.SIGNAL, name="go")),
]


@pytest.mark.parametrize("outcome", OUTCOMES)
def test_a_result_reads_back_as_it_was_said(outcome: StepOutcome) -> None:
    result = TaskResult(path="a", attempt=2, started_at=START, outcome=outcome, fraction=0.25)
    assert read_result(json.loads(result_body(result))) == result


def test_what_cannot_be_stored_comes_back_as_a_failure() -> None:
    result = TaskResult(
        path="a", attempt=1, started_at=START, outcome=StepDone(outputs={"value": "\0"})
    )
    read = read_result(json.loads(result_body(result))).outcome
    assert isinstance(read, StepFailed)


def test_a_start_reads_back_as_it_was_said() -> None:
    notice = TaskStarted(path="a", attempt=1, started_at=START)
    assert read_started(json.loads(started_body(notice))) == notice


def test_a_start_is_announced_once_and_only_of_the_attempt_that_runs() -> None:
    world = World(plan_of([a("a", **ELSEWHERE), a("b")], [to("a", "b")]))
    assert world.slice().left is Left.PARKED
    for attempt in (1, 1, 7):
        world.say(TaskStarted(path="a", attempt=attempt, started_at=world.now))
        assert world.slice().left is Left.PARKED
    assert types(world).count("step.started a") == 1
    world.finish()
    world_end = types(world)
    assert world_end[-3:] == ["step.completed a", "step.completed b", "run.succeeded"]


def test_a_result_that_comes_twice_counts_once() -> None:
    world = World(plan_of([a("a", **ELSEWHERE), a("b", **ELSEWHERE)], [to("a", "b")]))
    world.slice()
    (task,) = world.tasks
    world.work(task)
    (result,) = (word for word in world.words.values() if isinstance(word, TaskResult))
    world.say(result)
    assert world.finish().status is RunStatus.SUCCEEDED
    assert types(world).count("step.completed a") == 1


def test_steps_elsewhere_and_here_share_the_ceiling_of_the_run() -> None:
    nodes = [a(f"n{i}", **(ELSEWHERE if i % 2 else {})) for i in range(8)]
    world = World(plan_of(nodes, resources={"maxConcurrency": 3}), slots=2)
    world.seconds = {f"n{i}": 0.4 for i in range(8)}
    while world.slice().left is not Left.FINISHED:
        assert len(world.tasks) <= 3
        world.work(world.tasks[0])
        world.now += dt.timedelta(seconds=1)
    assert world.folded().status is RunStatus.SUCCEEDED


def test_a_canceled_run_calls_its_tasks_back() -> None:
    world = World(plan_of([a("a", **ELSEWHERE), a("b")], [to("a", "b")]))
    world.slice()
    world.mail.append(Inbox(cancel=CancelRequest()))
    assert world.finish().status is RunStatus.CANCELED
    assert [batch.change.recall for batch in world.batches if batch.change.recall] == [True]
    assert not world.tasks


def test_a_step_that_wants_a_gpu_runs_where_there_are_some() -> None:
    plan = plan_of([a("a", resources={"gpu": "1"}), a("b", resources={"gpu": "1", "pool": "own"})])
    assert [step.pool for step in plan.steps] == [GPU_POOL, "own"]
