"""Where a step runs: quick ones on the slice's thread, the others on the process's."""

from __future__ import annotations

import datetime as dt
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from apps.executions.engine.ports import (
    LogSink,
    StepCall,
    StepDone,
    StepFailed,
    StepOutcome,
    StopReason,
    StopSignal,
)
from apps.executions.engine.slice_ports import Arrival, LeaseLost
from apps.executions.worker.pool import Pace, SlicePool
from tests.executions.world import ScriptedRunner, Silent, call_of


@pytest.fixture
def executor() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(4) as held:
        yield held


def pool_of(executor: ThreadPoolExecutor, runner: ScriptedRunner, pace: Pace) -> SlicePool:
    return SlicePool(
        runner=runner,
        executor=executor,
        pace=pace,
        open_log=lambda _: Silent(),
        on_abandoned=lambda _: None,
    )


def test_a_type_is_quick_only_once_it_was(executor: ThreadPoolExecutor) -> None:
    threads: list[str] = []

    def note(call: StepCall, stop: StopSignal, logs: LogSink) -> StepOutcome:
        threads.append(threading.current_thread().name)
        return StepDone(outputs={})

    pool = pool_of(executor, ScriptedRunner(note), Pace())
    for attempt in (1, 2):
        pool.submit(0, call_of("a", attempt=attempt), light=True)
        while not pool.arrivals(seconds=1):
            pass
    assert threads[0] != threading.current_thread().name
    assert threads[1] == threading.current_thread().name


def test_a_slow_step_sends_its_type_back_to_threads() -> None:
    pace = Pace()
    pace.learn(("t", 1), seconds=0.0001)
    assert pace.is_quick(("t", 1))
    pace.learn(("t", 1), seconds=2.0)
    assert not pace.is_quick(("t", 1))


def test_an_abandoned_step_is_not_heard(executor: ThreadPoolExecutor) -> None:
    go = threading.Event()

    def wait(call: StepCall, stop: StopSignal, logs: LogSink) -> StepOutcome:
        go.wait(10)
        return StepDone(outputs={"value": call.attempt})

    pool = pool_of(executor, ScriptedRunner(wait), Pace())
    pool.submit(0, call_of("a", attempt=1), light=False)
    pool.abandon(0)
    pool.submit(0, call_of("a", attempt=2), light=False)
    go.set()
    heard: list[Arrival] = []
    while not heard:
        heard += pool.arrivals(seconds=1)
    assert [arrival.attempt for arrival in heard] == [2]
    assert pool.arrivals(seconds=0.05) == ()


def test_a_runner_that_raises_is_a_failed_step(executor: ThreadPoolExecutor) -> None:
    def break_(call: StepCall, stop: StopSignal, logs: LogSink) -> StepOutcome:
        raise RuntimeError("the runner promised not to")

    pool = pool_of(executor, ScriptedRunner(break_), Pace())
    pool.submit(0, call_of("a"), light=False)
    (arrival,) = pool.arrivals(seconds=10)
    assert isinstance(arrival.outcome, StepFailed)
    assert arrival.outcome.code == "NODE_CRASHED"


def test_a_stop_reaches_every_step(executor: ThreadPoolExecutor) -> None:
    reasons: list[StopReason | None] = []

    def obey(call: StepCall, stop: StopSignal, logs: LogSink) -> StepOutcome:
        assert stop.stopped() is None
        reasons.append(stop.wait(seconds=10))
        return StepDone(outputs={})

    pool = pool_of(executor, ScriptedRunner(obey), Pace())
    pool.submit(0, call_of("a"), light=False)
    pool.submit(1, call_of("b"), light=False)
    time.sleep(0.05)
    pool.stop(StopReason.DRAINING)
    heard: list[object] = []
    while len(heard) < 2:
        heard += pool.arrivals(seconds=10)
    assert reasons == [StopReason.DRAINING] * 2


def test_a_step_that_keeps_the_slices_thread_is_seen(executor: ThreadPoolExecutor) -> None:
    pace = Pace()
    seen: list[str | None] = []

    def look(call: StepCall, stop: StopSignal, logs: LogSink) -> StepOutcome:
        late = pool.overdue(before=call.deadline_at + dt.timedelta(seconds=1))
        seen.append(late.path if late else None)
        assert pool.overdue(before=call.deadline_at - dt.timedelta(seconds=1)) is None
        return StepDone(outputs={})

    pool = pool_of(executor, ScriptedRunner(look), pace)
    call = call_of("a")
    pace.learn(call.node_type.key, seconds=0.0)
    pool.submit(0, call, light=True)
    pool.arrivals(seconds=1)
    assert seen == ["a"]
    assert pool.overdue(before=call.deadline_at + dt.timedelta(days=1)) is None


def test_a_body_waits_for_what_it_builds_upon(executor: ThreadPoolExecutor) -> None:
    """On the slice's thread all that touches nothing comes first; on others the wait does."""
    seen: list[str] = []

    class Early(ScriptedRunner):
        def ready(
            self, call: StepCall, *, stop: StopSignal, logs: LogSink
        ) -> Callable[[], StepOutcome]:
            seen.append("ready")
            return super().ready(call, stop=stop, logs=logs)

    def note(call: StepCall, stop: StopSignal, logs: LogSink) -> StepOutcome:
        seen.append("body")
        return StepDone(outputs={})

    pool = pool_of(executor, Early(note), Pace())
    for attempt in (1, 2):
        call = call_of("a", attempt=attempt)
        pool.submit(0, call, light=True, durable=lambda: seen.append("durable"))
        while not pool.arrivals(seconds=1):
            pass
    assert seen == ["durable", "ready", "body", "ready", "durable", "body"]


def test_a_refused_append_is_no_failure_of_the_step(executor: ThreadPoolExecutor) -> None:
    pace = Pace()
    runner = ScriptedRunner()

    def refused() -> None:
        raise LeaseLost

    pool = pool_of(executor, runner, pace)
    call = call_of("a")
    pace.learn(call.node_type.key, seconds=0.0)
    pool.submit(0, call, light=True, durable=refused)
    with pytest.raises(LeaseLost):
        pool.arrivals(seconds=1)
    assert not runner.calls, "its body has not run"
