"""W4: from the trigger to the body of the first step, after seconds in which nothing happened."""

from __future__ import annotations

import contextlib
import os
import time
import uuid
from collections.abc import Callable, Mapping
from typing import Any, Final

import httpx

from bench.documents import chain
from bench.product import Product
from bench.progress import note

IDLE_SECONDS = float(os.environ.get("BENCH_IDLE_SECONDS", "2"))
LOOK_SECONDS = 0.02
WARM_UPS = 2
WEB_SECONDS = 120.0
LONGEST_WAIT: Final = 60


def measure(product: Product, *, url: str, repetitions: int) -> dict[str, list[float]]:
    """Milliseconds, by way; the ways take turns."""
    workflow = product.deploy(chain("stamp", steps=1))
    with httpx.Client(base_url=url, timeout=30, trust_env=False) as client:
        client.headers["Authorization"] = f"Bearer {product.api_key()}"
        await_web(client)
        ways: Mapping[str, Callable[[], uuid.UUID]] = {
            "in process": lambda: product.start(workflow),
            "over HTTP": lambda: start_over_http(client, workflow),
        }
        taken: dict[str, list[float]] = {name: [] for name in ways}
        for repetition in range(-WARM_UPS, repetitions):
            for name, start in ways.items():
                time.sleep(IDLE_SECONDS if repetition >= 0 else 0)
                milliseconds = _first_step(product, start)
                if repetition >= 0:
                    taken[name].append(milliseconds)
            note(f"w4 {max(0, repetition + 1)}/{repetitions}")
    return taken


def await_web(client: httpx.Client) -> None:
    """Until it answers. Raises TimeoutError."""
    until = time.monotonic() + WEB_SECONDS
    while time.monotonic() < until:
        with contextlib.suppress(httpx.TransportError):
            if client.get("/readyz").is_success:
                return
        time.sleep(0.2)
    raise TimeoutError("the web did not get ready")


def _first_step(product: Product, start: Callable[[], uuid.UUID]) -> float:
    began = time.time()
    run_id = start()
    product.watch.until_done(run_id, look=LOOK_SECONDS)
    return (product.watch.stamp_of(run_id) - began) * 1000


def start_over_http(client: httpx.Client, workflow_id: uuid.UUID) -> uuid.UUID:
    """The run's id, as soon as it is queued."""
    return uuid.UUID(_posted(client, workflow_id, wait=0)["id"])


def run_over_http(client: httpx.Client, workflow_id: uuid.UUID) -> None:
    """A run from its trigger to the end that the client is told: one call."""
    status = _posted(client, workflow_id, wait=LONGEST_WAIT)["status"]
    if status != "SUCCEEDED":
        raise RuntimeError(f"a run is {status}")


def _posted(client: httpx.Client, workflow_id: uuid.UUID, *, wait: int) -> dict[str, Any]:
    path = f"/api/v1/workflows/{workflow_id}/runs?wait={wait}"
    response = client.post(path, json={"environment": "PRODUCTION"})
    if not response.is_success:
        raise RuntimeError(f"the start was refused: {response.text}")
    told: dict[str, Any] = response.json()
    return told
