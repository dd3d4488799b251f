"""A worker is killed in the middle of a run: it completes within seconds, no effect is doubled."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from pathlib import Path

from tests.journeys.main_job import documents
from tests.journeys.main_job.journey import Journey, payload
from tests.journeys.main_job.publishing import CREATE
from tests.journeys.main_job.running import outcome, start, watch

SECONDS_TO_RECOVER = 30.0
ESTABLISHED = "01"  # as /proc/net/tcp writes it


def kill(journey: Journey) -> None:
    """SIGKILL the process whose request the sink is holding."""
    ledger, sink = journey.ledger, journey.sink
    sink.hold_at = documents.DELIVERIES // 2
    data = journey.globex.ask(CREATE, document=documents.load(documents.EFFECTS))
    workflow = ledger.need(
        "Globex draws a workflow with effects",
        payload(data, "createWorkflow").get("workflow"),
        data,
    )
    execution, live = start(
        journey,
        journey.globex,
        journey.product.globex,
        workflow["id"],
        name=documents.EFFECTS,
        parameters={"sink_url": f"http://127.0.0.1:{sink.port}/deliveries"},
    )
    journey.executions[documents.EFFECTS] = execution
    ledger.need("  half of its effects are done", sink.reached.wait(60), len(sink.effects))
    workers = _workers(journey)
    victim = ledger.need("  the worker that runs it is found", _caller(sink.port, workers), workers)
    os.kill(victim, signal.SIGKILL)
    killed_at = time.monotonic()
    sink.release()
    events = live.finish(seconds=SECONDS_TO_RECOVER)
    seconds = time.monotonic() - killed_at
    seen = outcome(journey.globex, execution)
    ledger.equal("The killed worker's run succeeds", seen["status"], "SUCCEEDED")
    ledger.expect("  within seconds", seconds < SECONDS_TO_RECOVER, f"{seconds:.1f} s")
    ledger.fact(f"done {seconds:.1f} s after SIGKILL")
    ledger.fact(f"{sum(sink.deliveries.values())} deliveries, {len(sink.effects)} effects")
    watch(journey, live, events)
    ledger.equal("  every effect is done", len(sink.effects), documents.DELIVERIES)
    ledger.expect(
        "  none doubled: repeats carry the same key",
        len(set(sink.effects.values())) == documents.DELIVERIES and not sink.without_key,
        f"{sum(sink.deliveries.values())} deliveries, {len(sink.effects)} keys",
    )
    ledger.expect(
        "  only what was in flight came again", len(sink.doubled) <= 1, dict(sink.doubled)
    )
    ledger.expect(
        "  a new worker has its place", _replaced(journey, workers), sorted(_workers(journey))
    )


def _workers(journey: Journey) -> list[int]:
    """The engine's worker processes: each is the child of a Dramatiq master."""
    masters = [
        pid for name, pid in journey.product.processes().items() if name.startswith("worker-")
    ]
    return [child for master in masters for child in _children(master)]


def _children(pid: int) -> list[int]:
    found: list[int] = []
    for file in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            found += [int(text) for text in file.read_text().split()]
    return found


def _family(pid: int) -> list[int]:
    return [pid, *(member for child in _children(pid) for member in _family(child))]


def _caller(port: int, workers: list[int]) -> int | None:
    """The worker that holds an open connection to the port, itself or through a child."""
    remote = f":{port:04X}"
    sockets = set()
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        if fields[2].endswith(remote) and fields[3] == ESTABLISHED:
            sockets.add(f"socket:[{fields[9]}]")
    for worker in workers:
        for member in _family(worker):
            with contextlib.suppress(OSError):
                files = Path(f"/proc/{member}/fd").iterdir()
                if any(str(file.readlink()) in sockets for file in files):
                    return worker
    return None


def _replaced(journey: Journey, before: list[int]) -> bool:
    deadline = time.monotonic() + SECONDS_TO_RECOVER
    while time.monotonic() < deadline:
        if set(_workers(journey)) - set(before):
            return True
        time.sleep(0.2)
    return False
