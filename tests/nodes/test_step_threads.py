"""Threads for handlers: kept between steps, left behind when a handler does not end."""

from __future__ import annotations

import contextvars
import threading

import pytest

from apps.executions.runner.threads import StepThreads
from apps.workflows.graph.declaration import node_type_of
from tests.nodes import sample_nodes
from tests.nodes.conftest import Bench

PATIENCE = 10.0
INLINE = node_type_of(sample_nodes.inline)


def test_a_thread_takes_one_job_after_the_other() -> None:
    threads = StepThreads()
    seen: list[int] = []
    for _ in range(20):
        job = threads.start(threading.get_ident)
        assert job.wait(seconds=PATIENCE)
        seen.append(job.result)

    assert len(set(seen)) == 1
    assert seen[0] != threading.get_ident()
    threads.close()


def test_what_is_raised_is_the_jobs_own() -> None:
    threads = StepThreads()

    def leave() -> None:
        raise SystemExit(3)

    job = threads.start(leave)
    assert job.wait(seconds=PATIENCE)
    assert isinstance(job.error, SystemExit)

    after = threads.start(lambda: "well")
    assert after.wait(seconds=PATIENCE)
    assert (after.result, after.error) == ("well", None)
    threads.close()


def test_a_job_sees_the_context_of_whoever_started_it() -> None:
    threads = StepThreads()
    name = contextvars.ContextVar("name", default="none")
    seen = []
    for value in ("first", "second"):
        name.set(value)
        job = threads.start(name.get)
        assert job.wait(seconds=PATIENCE)
        seen.append(job.result)

    assert seen == ["first", "second"]
    threads.close()


def test_a_job_that_does_not_end_keeps_its_thread_from_the_next() -> None:
    threads = StepThreads()
    hold = threading.Event()

    def stuck() -> int:
        hold.wait(PATIENCE)
        return threading.get_ident()

    first = threads.start(stuck)
    assert not first.wait(seconds=0.01)

    second = threads.start(threading.get_ident)
    assert second.wait(seconds=PATIENCE)
    hold.set()
    assert first.wait(seconds=PATIENCE)

    assert first.result != second.result
    threads.close()


def test_an_idle_thread_ends_and_is_replaced() -> None:
    threads = StepThreads(idle_seconds=0.05)
    job = threads.start(threading.current_thread)
    assert job.wait(seconds=PATIENCE)
    idle: threading.Thread = job.result

    idle.join(PATIENCE)
    again = threads.start(lambda: "well")

    assert not idle.is_alive()
    assert again.wait(seconds=PATIENCE)
    assert again.result == "well"
    threads.close()


def test_closing_ends_the_idle_and_lets_the_busy_finish() -> None:
    threads = StepThreads()
    hold = threading.Event()
    idle = threads.start(threading.current_thread)
    busy = threads.start(lambda: (hold.wait(PATIENCE), threading.current_thread())[1])
    assert idle.wait(seconds=PATIENCE)

    threads.close()
    hold.set()
    assert busy.wait(seconds=PATIENCE)
    for job in (idle, busy):
        job.result.join(PATIENCE)
        assert not job.result.is_alive()


def test_steps_in_a_row_share_a_thread(node_bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[str | None] = []
    start = threading.Thread.start

    def counted(thread: threading.Thread) -> None:
        started.append(thread.name)
        start(thread)

    node_bench.done(INLINE, {})
    monkeypatch.setattr(threading.Thread, "start", counted)
    for _ in range(10):
        node_bench.done(INLINE, {})

    assert started == []
