"""DBOS: workflows and steps in this process, checkpoints in PostgreSQL.

`start_workflow` runs in the serving process: its own recommended way to the lowest latency.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Awaitable, Callable
from importlib.metadata import version
from typing import Any

from dbos import DBOS

from bench.documents import BRANCHES, CHAIN, FAN, SHORT
from bench.peers.protocol import serve, timed
from bench.work import LONG, QUICK, fibonacci

_STARTED: dict[str, float] = {}


@DBOS.step()
def compute(n: int) -> dict[str, int]:
    """A trivial step."""
    return {"v": fibonacci(n)}


@DBOS.step()
async def compute_beside(n: int) -> dict[str, int]:
    """The same, among others."""
    return {"v": fibonacci(n)}


@DBOS.step()
async def sleep() -> float:
    """Wait a second."""
    await asyncio.sleep(1)
    return 1.0


@DBOS.step()
def stamp(key: str) -> str:
    """When its body began."""
    _STARTED[key] = time.perf_counter()
    return key


@DBOS.workflow()
def chain(steps: int) -> None:
    """One after another."""
    for _ in range(steps):
        compute(QUICK)


@DBOS.workflow()
async def fan(width: int) -> None:
    """1 -> width -> 1."""
    await compute_beside(QUICK)
    await asyncio.gather(*(compute_beside(QUICK) for _ in range(width)))
    await compute_beside(QUICK)


@DBOS.workflow()
async def sleepers(width: int) -> None:
    """So many side by side."""
    await asyncio.gather(*(sleep() for _ in range(width)))


@DBOS.workflow()
def leaf(n: int) -> None:
    """One long computation."""
    compute(n)


@DBOS.workflow()
def computers(width: int) -> None:
    """A child workflow each: threads of one process."""
    handles = [DBOS.start_workflow(leaf, LONG) for _ in range(width)]
    for handle in handles:
        handle.get_result()


@DBOS.workflow()
def first(key: str) -> None:
    """One step that says when it began."""
    stamp(key)


def _run(workflow: Callable[..., Any], argument: Any) -> None:
    DBOS.start_workflow(workflow, argument).get_result()


async def _run_async(workflow: Callable[..., Awaitable[Any]], argument: int) -> None:
    handle = await DBOS.start_workflow_async(workflow, argument)
    await handle.get_result()


def _many(runs: int) -> None:
    for handle in [DBOS.start_workflow(chain, SHORT) for _ in range(runs)]:
        handle.get_result()


def _first_step(_: int) -> float:
    key = str(time.perf_counter())
    began = time.perf_counter()
    _run(first, key)
    return _STARTED.pop(key) - began


def main() -> None:
    """Serve; its threads do not end by themselves."""
    url = os.environ["PEER_DATABASE"]
    DBOS(
        config={
            "name": "bench",
            "system_database_url": url,
            "log_level": "ERROR",
            "sys_db_pool_size": 20,
        }
    )
    DBOS.launch()
    serve(
        {
            "w1": lambda _: timed(lambda: _run(chain, CHAIN)),
            "w2": lambda _: timed(lambda: asyncio.run(_run_async(fan, FAN))),
            "w3": lambda runs: timed(lambda: _many(runs)),
            "w4": _first_step,
            "w5sleep": lambda _: timed(lambda: asyncio.run(_run_async(sleepers, BRANCHES))),
            "w5cpu": lambda _: timed(lambda: _run(computers, BRANCHES)),
        },
        version=version("dbos"),
    )
    os._exit(0)


if __name__ == "__main__":
    main()
