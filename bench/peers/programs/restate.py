"""Restate: its server (one binary, its own log on disk), its service, HTTP ingress.

Its log is synced before a step counts, as it is by default (counted: two to three fdatasync a
step). The service is one process, or with PEER_WAY=cores one per core, as our workers are.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from contextlib import ExitStack
from datetime import timedelta
from importlib.metadata import version
from pathlib import Path
from typing import Any

import httpx
import restate
from restate import Context, RunOptions, Service

from bench.documents import BRANCHES, CHAIN, FAN, SHORT
from bench.peers.processes import child
from bench.peers.protocol import serve, timed, until
from bench.work import LONG, QUICK, fibonacci

AT_ONCE = 50
SECONDS = 300
service = Service("bench", inactivity_timeout=timedelta(minutes=5))


def compute(n: int) -> dict[str, int]:
    """A trivial step."""
    return {"v": fibonacci(n)}


async def sleep() -> float:
    """Wait a second."""
    await asyncio.sleep(1)
    return 1.0


def stamp() -> float:
    """When its body began."""
    return time.time()


@service.handler()
async def chain(context: Context, steps: int) -> int:
    """One after another."""
    for _ in range(steps):
        await context.run_typed("step", compute, RunOptions(), n=QUICK)
    return steps


@service.handler()
async def fan(context: Context, width: int) -> int:
    """1 -> width -> 1."""
    await context.run_typed("step", compute, RunOptions(), n=QUICK)
    await _beside(context, width, compute, n=QUICK)
    await context.run_typed("step", compute, RunOptions(), n=QUICK)
    return width


@service.handler()
async def sleepers(context: Context, width: int) -> int:
    """So many side by side, waiting."""
    return await _beside(context, width, sleep)


@service.handler()
async def computers(context: Context, width: int) -> int:
    """So many side by side, computing."""
    return await _beside(context, width, compute, n=LONG)


@service.handler()
async def first(context: Context) -> float:
    """One step that says when it began."""
    at: float = await context.run_typed("step", stamp, RunOptions())
    return at


async def _beside(context: Context, width: int, step: Any, **arguments: int) -> int:
    steps = [context.run_typed("step", step, RunOptions(), **arguments) for _ in range(width)]
    await restate.gather(*steps)
    return width


app = restate.app(services=[service])


class Caller:
    """What a client of the ingress does."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._client = httpx.Client(base_url=url, timeout=SECONDS, trust_env=False)

    def call(self, handler: str, argument: int | None = None) -> Any:
        """To the end of one."""
        answer = self._client.post(f"/bench/{handler}", json=argument)
        answer.raise_for_status()
        return answer.json()

    def many(self, runs: int) -> None:
        """All at once."""

        async def all_of_them() -> None:
            limits = httpx.Limits(max_connections=AT_ONCE)
            async with httpx.AsyncClient(
                base_url=self._url, timeout=SECONDS, limits=limits, trust_env=False
            ) as client:
                answers = await asyncio.gather(
                    *(client.post("/bench/chain", json=SHORT) for _ in range(runs))
                )
            for answer in answers:
                answer.raise_for_status()

        asyncio.run(all_of_them())

    def first_step(self, _: int) -> float:
        """Seconds from the trigger to the body."""
        began = time.time()
        at: float = self._client.post("/bench/first").raise_for_status().json()
        return at - began


def _server(home: Path, ports: list[int]) -> dict[str, str]:
    ingress, admin, node, _ = ports
    return {
        "RESTATE_BASE_DIR": str(home / "data"),
        "RESTATE_LOG_FILTER": "error",
        "RESTATE_DISABLE_TELEMETRY": "true",
        "RESTATE_BIND_IP": "127.0.0.1",
        "RESTATE_INGRESS__BIND_PORT": str(ingress),
        "RESTATE_ADMIN__BIND_PORT": str(admin),
        "RESTATE_BIND_PORT": str(node),
    }


def main() -> None:
    """Start server and service, serve, end them."""
    home = Path(os.environ["PEER_HOME"])
    ports = [int(port) for port in os.environ["PEER_PORTS"].split()]
    ingress, admin, _, own = ports
    admin_url, own_url = f"http://127.0.0.1:{admin}", f"http://127.0.0.1:{own}"
    processes = (os.cpu_count() or 1) if os.environ.get("PEER_WAY") == "cores" else 1
    hypercorn = str(Path(sys.executable).with_name("hypercorn"))
    service_command = [hypercorn, f"{__spec__.name}:app", "--workers", str(processes)]
    with ExitStack() as stack:
        stack.enter_context(child([os.environ["PEER_SERVER"]], env=_server(home, ports)))
        stack.enter_context(child([*service_command, "--bind", own_url[7:]]))
        client = httpx.Client(timeout=60, trust_env=False)
        until(lambda: _is_up(client, f"{admin_url}/health"))
        until(lambda: _is_up(client, f"{admin_url}/deployments", uri=own_url))
        until(lambda: _is_up(client, f"http://127.0.0.1:{ingress}/restate/health"))
        caller = Caller(f"http://127.0.0.1:{ingress}")
        told = client.get(f"{admin_url}/version").json()
        serve(
            {
                "w1": lambda _: timed(lambda: caller.call("chain", CHAIN)),
                "w2": lambda _: timed(lambda: caller.call("fan", FAN)),
                "w3": lambda runs: timed(lambda: caller.many(runs)),
                "w4": caller.first_step,
                "w5sleep": lambda _: timed(lambda: caller.call("sleepers", BRANCHES)),
                "w5cpu": lambda _: timed(lambda: caller.call("computers", BRANCHES)),
            },
            version=f"server {told.get('version', '?')}, SDK {version('restate-sdk')}",
        )


def _is_up(client: httpx.Client, url: str, *, uri: str | None = None) -> bool:
    try:
        answer = client.get(url) if uri is None else client.post(url, json={"uri": uri})
    except httpx.TransportError:
        return False
    return answer.is_success


if __name__ == "__main__":
    main()
