"""One step through the runner: how it runs, fails, is measured and is stopped."""

from __future__ import annotations

import threading
from typing import Any, BinaryIO

import pytest

from apps.executions.engine.ports import (
    StepFailed,
    StepStopped,
    StopReason,
)
from apps.executions.runner.local import LocalRunner
from apps.executions.sandbox import shared
from apps.workflows.graph.context import ArtifactRef
from apps.workflows.graph.declaration import NodeType, node_type_of
from apps.workflows.graph.shape import Node, Resources
from tests.nodes import sample_nodes
from tests.nodes.confined import needs_walls
from tests.nodes.conftest import Bench
from tests.nodes.doubles import MemoryObjects, step_call

INLINE = node_type_of(sample_nodes.inline)
PROCESS = node_type_of(sample_nodes.process)
COROUTINE = node_type_of(sample_nodes.coroutine)
CONFINED = pytest.param(node_type_of(sample_nodes.sandbox), marks=needs_walls, id="sandbox")
EVERYWHERE = pytest.mark.parametrize(
    "node_type",
    [
        pytest.param(INLINE, id="thread"),
        pytest.param(PROCESS, id="process"),
        pytest.param(COROUTINE, id="loop"),
        CONFINED,
    ],
)
IN_PROCESSES = pytest.mark.parametrize("node_type", [pytest.param(PROCESS, id="process"), CONFINED])


@IN_PROCESSES
def test_a_process_is_measured(node_bench: Bench, node_type: NodeType) -> None:
    outcome = node_bench.done(node_type, {})

    assert outcome.usage.cpu_seconds > 0
    assert outcome.usage.peak_memory_bytes > 1 << 20


def test_what_a_process_has_loaded_the_next_one_finds_untouched(node_bench: Bench) -> None:
    node_bench.done(PROCESS, {})
    first, second = (
        node_bench.done(PROCESS, {"mode": "loaded"}).outputs["value"] for _ in range(2)
    )

    assert first["by"] == second["by"]
    assert len({first["by"], first["here"], second["here"]}) == 3
    assert (first["calls"], second["calls"]) == (1, 1)


@EVERYWHERE
def test_a_refusal_keeps_its_code_and_its_advice(node_bench: Bench, node_type: NodeType) -> None:
    failed = node_bench.failed(node_type, {"mode": "refuse"})

    assert (failed.code, failed.message) == ("NO_THANKS", "not today")
    assert failed.retryable
    assert failed.retry_after_seconds == 7


@EVERYWHERE
def test_a_crash_is_typed_and_traced(node_bench: Bench, node_type: NodeType) -> None:
    failed = node_bench.failed(node_type, {"mode": "crash"})

    assert failed.code == "NODE_CRASHED"
    assert "inner detail" not in failed.message
    assert failed.details["kind"] == "ValueError"
    assert any("sample_nodes.py" in line for line in failed.details["trace"])


@EVERYWHERE
def test_a_step_that_overruns_times_out(node_bench: Bench, node_type: NodeType) -> None:
    failed = node_bench.failed(node_type, {"mode": "hang"}, seconds=0.5)

    assert failed.code == "STEP_TIMEOUT"
    assert failed.retryable


def test_a_thread_that_overruns_asks_for_a_new_process() -> None:
    bench = Bench()

    bench.failed(INLINE, {"mode": "hang"}, seconds=0.2)

    assert bench.runner.must_recycle


@IN_PROCESSES
def test_memory_over_the_limit_ends_the_process(node_bench: Bench, node_type: NodeType) -> None:
    failed = node_bench.failed(node_type, {"mode": "memory"})

    assert failed.code == "MEMORY_EXCEEDED"
    assert "100Mi" in failed.message


def thrifty(mode: str) -> Node:
    """A step that may use one second of CPU."""
    return Node(
        id="step",
        type=PROCESS.type,
        configuration={"mode": mode},
        resources=Resources(cpu="10m"),
    )


@pytest.mark.parametrize("mode", ["spin", "stubborn"])
@IN_PROCESSES
def test_cpu_over_the_limit_ends_the_process(
    node_bench: Bench, node_type: NodeType, mode: str
) -> None:
    failed = node_bench.failed(node_type, {"mode": mode}, node=thrifty(mode), seconds=30)

    assert failed.code == "CPU_EXCEEDED"
    assert failed.usage.cpu_seconds > 0.9
    assert "1 s of CPU" in failed.message


@IN_PROCESSES
def test_who_dies_near_its_limit_has_not_exceeded_it(
    node_bench: Bench, node_type: NodeType
) -> None:
    failed = node_bench.failed(node_type, {"mode": "killed"}, node=thrifty("killed"), seconds=30)

    assert failed.code == "PROCESS_DIED"
    assert failed.usage.cpu_seconds > 0.7


def test_what_a_coroutine_and_its_tasks_run_is_measured(node_bench: Bench) -> None:
    done = node_bench.done(COROUTINE, {"mode": "busy"})

    assert 0.2 <= done.usage.cpu_seconds < done.usage.wall_ms / 1000
    idle = node_bench.failed(COROUTINE, {"mode": "hang"}, seconds=0.3)
    assert idle.usage.cpu_seconds < 0.1


@pytest.mark.parametrize("node_type", [INLINE, COROUTINE], ids=["thread", "loop"])
def test_what_a_step_makes_its_process_grow_by_is_recorded(
    node_bench: Bench, node_type: NodeType
) -> None:
    done = node_bench.done(node_type, {"mode": "grow"})

    assert done.usage.peak_memory_bytes >= 16 << 20


def test_the_document_may_give_a_step_more_memory(node_bench: Bench) -> None:
    more = Node(
        id="step",
        type="sample.process",
        configuration={"mode": "memory"},
        resources=Resources(memory="150Mi"),
    )
    failed = node_bench.runner.run(
        step_call(PROCESS, node=more), stop=node_bench.stop, logs=node_bench.logs
    )

    assert isinstance(failed, StepFailed)
    assert "150Mi" in failed.message


@IN_PROCESSES
def test_a_process_that_dies_is_a_failure_and_the_next_step_works(
    node_bench: Bench, node_type: NodeType
) -> None:
    for mode in ("exit", "segfault"):
        failed = node_bench.failed(node_type, {"mode": mode})
        assert failed.code == "PROCESS_DIED"
    assert node_bench.done(node_type, {}).outputs["value"] == {"number": 1}


@EVERYWHERE
def test_a_stop_ends_a_running_step(node_bench: Bench, node_type: NodeType) -> None:
    threading.Timer(0.3, node_bench.stop.set, args=(StopReason.CANCELED,)).start()

    outcome = node_bench.step(node_type, {"mode": "hang"})

    assert isinstance(outcome, StepStopped)
    assert outcome.reason is StopReason.CANCELED


def test_a_stopped_run_starts_nothing(node_bench: Bench) -> None:
    node_bench.stop.set(StopReason.LEASE_LOST)

    assert isinstance(node_bench.step(INLINE, {}), StepStopped)
    assert node_bench.logs.lines == []


def test_the_runner_never_raises(node_bench: Bench) -> None:
    def broken(call: object) -> Any:
        raise RuntimeError("no doors")

    runner = LocalRunner(doors=broken, sandbox=shared())

    outcome = runner.run(step_call(INLINE), stop=node_bench.stop, logs=node_bench.logs)

    assert isinstance(outcome, StepFailed)
    assert outcome.code == "RUNNER_FAILED"
    assert "no doors" not in outcome.message


@IN_PROCESSES
def test_a_broken_host_call_ends_the_step_and_its_process(
    node_bench: Bench, node_type: NodeType
) -> None:
    class Broken(MemoryObjects):
        def put(self, content: BinaryIO, *, media_type: str) -> ArtifactRef:
            raise ConnectionError("the database is gone")

    node_bench.around.objects = Broken()

    failed = node_bench.failed(node_type, {"mode": "artifact"})

    assert failed.code == "RUNNER_FAILED"
    assert failed.retryable
    assert "database" not in failed.message
    assert node_bench.done(node_type, {}).outputs["value"] == {"number": 1}


@pytest.mark.parametrize("mode", ["crash", "hang"])
def test_an_unsafe_step_that_was_cut_off_is_not_repeated(node_bench: Bench, mode: str) -> None:
    failed = node_bench.failed(node_type_of(sample_nodes.unsafe), {"mode": mode}, seconds=0.5)

    assert not failed.retryable
