"""Nothing survives: not Ctrl-C, not SIGKILL of the supervisor, of its guard, or of both."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from config.env import ROOT
from config.supervisor import kernel
from tests.platform import traces

# A supervisor in small: both servers, and a child with a child of its own that ignores SIGTERM.
SUPERVISOR = textwrap.dedent(
    """
    import os, sys
    from pathlib import Path
    from config.supervisor import backends, kernel
    from config.supervisor.fleet import StopRequest
    from config.supervisor.guard import guarded
    from config.supervisor.processes import Child, Command

    directory = Path(sys.argv[1])
    stubborn = "trap '' TERM; sleep 1000 & wait; wait"

    def work():
        stop = StopRequest()
        kernel.adopt_orphans()
        with backends.running(directory, durable=False, source={}):
            child = Child(Command(name="family", argv=["bash", "-c", stubborn], stop_seconds=0.2))
            (directory / "ready").write_text(str(os.getpid()))
            while not stop.sleep(1):
                pass
            child.stop()
        return 7

    sys.exit(guarded(work))
    """
)


@dataclass(frozen=True)
class Running:
    """A guard and its supervisor, with the mark all their processes carry."""

    guard: subprocess.Popen[bytes]
    supervisor: int
    mark: str


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    mark = f"mark-{os.getpid()}-{time.monotonic_ns()}"
    directory = tmp_path / mark
    directory.mkdir()
    guard = subprocess.Popen(
        [sys.executable, "-c", SUPERVISOR, str(directory)],
        env={**os.environ, "TEST_MARK": mark},
        cwd=ROOT,
    )
    ready = directory / "ready"
    while not (ready.exists() and ready.read_text()):
        assert guard.poll() is None, "the supervisor ended while starting"
        time.sleep(0.02)
    assert len(traces.marked(mark)) >= 6  # guard, supervisor, postgres, redis, bash, sleep
    yield Running(guard, int(ready.read_text()), mark)
    for pid in traces.marked(mark):
        os.kill(pid, signal.SIGKILL)
    guard.wait()


def test_an_interrupt_stops_everything_and_keeps_the_exit_code(running: Running) -> None:
    running.guard.send_signal(signal.SIGINT)

    assert running.guard.wait(traces.PATIENCE_SECONDS) == 7
    assert traces.wait_until_gone(running.mark) == {}


def test_sigkill_of_the_supervisor_leaves_nothing(running: Running) -> None:
    os.kill(running.supervisor, signal.SIGKILL)

    assert running.guard.wait(traces.PATIENCE_SECONDS) == 128 + signal.SIGKILL
    assert traces.wait_until_gone(running.mark) == {}


def test_sigkill_of_the_guard_leaves_nothing(running: Running) -> None:
    running.guard.kill()
    running.guard.wait()

    assert traces.wait_until_gone(running.mark) == {}


def test_sigkill_of_both_ends_the_servers(running: Running) -> None:
    # A shell that ignores its death signal is not ours to promise; the servers are.
    servers = {
        pid
        for pid, line in traces.marked(running.mark).items()
        if "postgres" in line or "redis" in line
    }
    assert len(servers) >= 2
    os.kill(running.supervisor, signal.SIGSTOP)  # so that neither sees the other's end
    running.guard.kill()
    os.kill(running.supervisor, signal.SIGKILL)
    running.guard.wait()

    deadline = time.monotonic() + traces.PATIENCE_SECONDS
    while servers & set(traces.marked(running.mark)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not servers & set(traces.marked(running.mark))


def test_descendants_are_found_to_any_depth() -> None:
    with subprocess.Popen(
        ["bash", "-c", "bash -c 'sleep 1000 & wait' & wait"], start_new_session=True
    ) as root:
        while len(below := kernel.descendants(root.pid)) < 2:
            time.sleep(0.01)
        for pid in (root.pid, *below):
            os.kill(pid, signal.SIGKILL)

    assert len(below) == 2
