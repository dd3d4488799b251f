"""Prefect: its server on PostgreSQL, flows in this process against it, results persisted."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

_URL = f"http://127.0.0.1:{os.environ['PEER_PORT']}"
_HOME = Path(os.environ["PEER_HOME"])
# The library reads these when it is imported.
os.environ.update(
    PREFECT_API_URL=f"{_URL}/api",
    PREFECT_HOME=str(_HOME / "home"),
    PREFECT_LOGGING_LEVEL="ERROR",
    PREFECT_LOGGING_TO_API_ENABLED="false",
    PREFECT_RESULTS_PERSIST_BY_DEFAULT="true",
    PREFECT_SERVER_ANALYTICS_ENABLED="false",
    PREFECT_CLI_PROMPT="false",
    DO_NOT_TRACK="1",
)

import httpx  # noqa: E402
from prefect import flow, task  # noqa: E402
from prefect.task_runners import ThreadPoolTaskRunner  # noqa: E402

from bench.documents import BRANCHES, CHAIN, FAN, SHORT  # noqa: E402
from bench.peers.processes import child  # noqa: E402
from bench.peers.protocol import serve, timed, until  # noqa: E402
from bench.work import LONG, QUICK, fibonacci  # noqa: E402

AT_ONCE = 16


@task
def compute(n: int) -> dict[str, int]:
    """A trivial step."""
    return {"v": fibonacci(n)}


@task
async def compute_beside(n: int) -> dict[str, int]:
    """The same, among others."""
    return {"v": fibonacci(n)}


@task
def sleep() -> float:
    """Wait a second."""
    time.sleep(1)
    return 1.0


@task
def stamp() -> float:
    """When its body began."""
    return time.time()


@flow
def chain(steps: int) -> None:
    """One after another."""
    for _ in range(steps):
        compute(QUICK)


@flow
async def short() -> None:
    """A short chain, among others."""
    for _ in range(SHORT):
        await compute_beside(QUICK)


@flow(task_runner=ThreadPoolTaskRunner(max_workers=AT_ONCE))
def fan(width: int) -> None:
    """1 -> width -> 1."""
    compute(QUICK)
    for future in [compute.submit(QUICK) for _ in range(width)]:
        future.result()
    compute(QUICK)


@flow(task_runner=ThreadPoolTaskRunner(max_workers=AT_ONCE))
def sleepers(width: int) -> None:
    """So many side by side, waiting."""
    for future in [sleep.submit() for _ in range(width)]:
        future.result()


@flow(task_runner=ThreadPoolTaskRunner(max_workers=AT_ONCE))
def computers(width: int) -> None:
    """So many side by side, computing."""
    for future in [compute.submit(LONG) for _ in range(width)]:
        future.result()


@flow
def first() -> float:
    """One step that says when it began."""
    at: float = stamp()
    return at


async def _many(runs: int) -> None:
    room = asyncio.Semaphore(AT_ONCE)

    async def one() -> None:
        async with room:
            await short()

    await asyncio.gather(*(one() for _ in range(runs)))


def _first_step(_: int) -> float:
    began = time.time()
    return first() - began


def _is_up() -> bool:
    try:
        return httpx.get(f"{_URL}/api/health", timeout=5, trust_env=False).is_success
    except httpx.TransportError:
        return False


def main() -> None:
    """Start the server, serve, end it."""
    database = os.environ["PEER_DATABASE"].replace("postgresql://", "postgresql+asyncpg://", 1)
    command = [
        str(Path(sys.executable).with_name("prefect")),
        *("server", "start", "--host", "127.0.0.1", "--port", os.environ["PEER_PORT"]),
    ]
    with child(command, env={"PREFECT_API_DATABASE_CONNECTION_URL": database}):
        until(_is_up)
        cases: dict[str, Callable[[int], float]] = {
            "w1": lambda _: timed(lambda: chain(CHAIN)),
            "w2": lambda _: timed(lambda: fan(FAN)),
            "w3": lambda runs: timed(lambda: asyncio.run(_many(runs))),
            "w4": _first_step,
            "w5sleep": lambda _: timed(lambda: sleepers(BRANCHES)),
            "w5cpu": lambda _: timed(lambda: computers(BRANCHES)),
        }
        serve(cases, version=version("prefect"))


if __name__ == "__main__":
    main()
