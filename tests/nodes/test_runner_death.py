"""A worker that is killed leaves no process behind."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.nodes.confined import needs_walls

SCRIPT = """
import sys, threading, time
import django
django.setup()
from apps.workflows.graph.declaration import node_type_of
from tests.nodes import sample_nodes
from tests.nodes.doubles import Logs, Stop, Surroundings, step_call
from apps.executions.runner.local import LocalRunner

runner = LocalRunner(doors=Surroundings().doors)
process = node_type_of(getattr(sample_nodes, sys.argv[1]))
say = step_call(process, configuration={"number": "{{ 1 + 1 }}"})
outcome = runner.run(say, stop=Stop(), logs=Logs())
print(getattr(outcome, "outputs", outcome), flush=True)
hang = step_call(process, configuration={"mode": "hang"})
threading.Thread(target=runner.run, args=(hang,), kwargs={"stop": Stop(), "logs": Logs()}).start()
print("hanging", flush=True)
time.sleep(600)
"""


def _parents() -> dict[int, int]:
    found = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            text = stat.read_text()
        except OSError:
            continue
        fields = text.rpartition(")")[2].split()
        if fields[0] != "Z":
            found[int(stat.parent.name)] = int(fields[1])
    return found


def _below(pid: int) -> set[int]:
    parents = _parents()
    found: set[int] = set()
    while True:
        more = {child for child, parent in parents.items() if parent in found | {pid}} - found
        if not more:
            return found
        found |= more


def _wait(condition: Callable[[], bool], *, seconds: float) -> None:
    until = time.monotonic() + seconds
    while not condition() and time.monotonic() < until:
        time.sleep(0.05)


@pytest.mark.parametrize("where", ["process", pytest.param("sandbox", marks=needs_walls)])
def test_nothing_outlives_a_killed_worker(where: str) -> None:
    command = [sys.executable, "-W", "ignore", "-c", SCRIPT, where]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as worker:
        assert worker.stdout is not None
        assert worker.stdout.readline().startswith("{'value'")
        assert worker.stdout.readline() == "hanging\n"
        # The sandbox's process, the zygote and the child that hangs.
        _wait(lambda: len(_below(worker.pid)) >= 3, seconds=20)
        left = _below(worker.pid)
        assert len(left) >= 3

        worker.send_signal(signal.SIGKILL)
        worker.wait(10)

    _wait(lambda: left.isdisjoint(_parents()), seconds=20)
    assert left.isdisjoint(_parents())
