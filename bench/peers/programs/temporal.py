"""Temporal: its development server (SQLite on disk), the Python SDK, a worker process per core.

Production has four services on PostgreSQL or Cassandra: more per step, not less. Activities are its
durable steps; PEER_WAY=local takes local activities, recorded in groups as our pure steps are.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import timedelta
from importlib.metadata import version
from pathlib import Path
from typing import Any

from temporalio import activity, workflow
from temporalio.client import Client
from temporalio.worker import Worker

with workflow.unsafe.imports_passed_through():
    from bench.documents import BRANCHES, CHAIN, FAN, SHORT
    from bench.peers.processes import child
    from bench.peers.protocol import serve, timed, until
    from bench.work import LONG, QUICK, fibonacci

QUEUE = "bench"
MOST = timedelta(seconds=120)
AT_ONCE = 20
LOCAL = "local"


@activity.defn
def compute(n: int) -> dict[str, int]:
    """A trivial step."""
    return {"v": fibonacci(n)}


@activity.defn
def stamp() -> float:
    """When its body began."""
    return time.time()


@activity.defn
async def sleep() -> float:
    """Wait a second."""
    await asyncio.sleep(1)
    return 1.0


async def _step(name: Any, *arguments: Any, way: str) -> Any:
    execute = workflow.execute_local_activity if way == LOCAL else workflow.execute_activity
    return await execute(name, args=list(arguments), start_to_close_timeout=MOST)


@workflow.defn
class Chain:
    """One after another."""

    @workflow.run
    async def run(self, steps: int, way: str) -> None:
        """`steps` of them."""
        for _ in range(steps):
            await _step(compute, QUICK, way=way)


@workflow.defn
class Fan:
    """1 -> width -> 1."""

    @workflow.run
    async def run(self, width: int, way: str) -> None:
        """`width` of them side by side."""
        await _step(compute, QUICK, way=way)
        await asyncio.gather(*(_step(compute, QUICK, way=way) for _ in range(width)))
        await _step(compute, QUICK, way=way)


@workflow.defn
class Beside:
    """So many side by side."""

    @workflow.run
    async def run(self, width: int, kind: str, way: str) -> None:
        """They wait, or they compute."""
        steps = (
            _step(sleep, way=way) if kind == "sleep" else _step(compute, LONG, way=way)
            for _ in range(width)
        )
        await asyncio.gather(*steps)


@workflow.defn
class First:
    """One step that says when it began."""

    @workflow.run
    async def run(self, way: str) -> float:
        """Its stamp."""
        began: float = await _step(stamp, way=way)
        return began


class Caller:
    """Starts workflows and waits for their ends."""

    def __init__(self, address: str, *, way: str) -> None:
        self._loop = asyncio.new_event_loop()
        self._client = self._loop.run_until_complete(Client.connect(address))
        self._way = way

    def run(self, kind: Any, *arguments: Any) -> Any:
        """One, to its end."""
        return self._loop.run_until_complete(self._one(kind, *arguments))

    def many(self, runs: int) -> None:
        """All at once."""

        async def all_of_them() -> None:
            await asyncio.gather(*(self._one(Chain.run, SHORT) for _ in range(runs)))

        self._loop.run_until_complete(all_of_them())

    def first_step(self, _: int) -> float:
        """Seconds from the trigger to the body."""
        began = time.time()
        at: float = self.run(First.run)
        return at - began

    async def _one(self, kind: Any, *arguments: Any) -> Any:
        return await self._client.execute_workflow(
            kind, args=[*arguments, self._way], id=uuid.uuid4().hex, task_queue=QUEUE
        )


async def work(address: str) -> None:
    """A worker process."""
    client = await Client.connect(address)
    with ThreadPoolExecutor(AT_ONCE) as threads:
        await Worker(
            client,
            task_queue=QUEUE,
            workflows=[Chain, Fan, Beside, First],
            activities=[compute, stamp, sleep],
            activity_executor=threads,
            max_concurrent_activities=AT_ONCE,
            max_concurrent_workflow_tasks=AT_ONCE,
        ).run()


def _is_up(address: str) -> bool:
    try:
        asyncio.run(Client.connect(address))
    except RuntimeError:
        return False
    return True


def main() -> None:
    """Start server and workers, serve, end them."""
    home, port = Path(os.environ["PEER_HOME"]), os.environ["PEER_PORT"]
    address = f"127.0.0.1:{port}"
    if sys.argv[1:] == ["worker"]:
        asyncio.run(work(address))
        return
    server = [
        str(Path(sys.executable).with_name("temporal")),
        *("server", "start-dev", "--headless", "--ip", "127.0.0.1", "--port", port),
        *("--db-filename", str(home / "temporal.db"), "--log-level", "error"),
    ]
    with ExitStack() as stack:
        stack.enter_context(child(server))
        until(lambda: _is_up(address))
        for _ in range(os.cpu_count() or 1):
            stack.enter_context(child([sys.executable, "-m", __spec__.name, "worker"]))
        time.sleep(4)
        caller = Caller(address, way=os.environ.get("PEER_WAY", ""))
        told = subprocess.run(
            [server[0], "--version"], capture_output=True, text=True, timeout=30, check=True
        )
        serve(
            {
                "w1": lambda _: timed(lambda: caller.run(Chain.run, CHAIN)),
                "w2": lambda _: timed(lambda: caller.run(Fan.run, FAN)),
                "w3": lambda runs: timed(lambda: caller.many(runs)),
                "w4": caller.first_step,
                "w5sleep": lambda _: timed(lambda: caller.run(Beside.run, BRANCHES, "sleep")),
                "w5cpu": lambda _: timed(lambda: caller.run(Beside.run, BRANCHES, "compute")),
            },
            version=f"SDK {version('temporalio')}, {told.stdout.strip()}",
        )


if __name__ == "__main__":
    main()
