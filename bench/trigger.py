"""W4: from the trigger to the body of the first step, after seconds in which nothing happened."""

from __future__ import annotations

import contextlib
import os
import time
import uuid
from collections.abc import Callable, Mapping

import httpx

from apps.kit.graphql.nodes import global_id, key_of
from bench.documents import chain
from bench.product import Product
from bench.progress import note

IDLE_SECONDS = float(os.environ.get("BENCH_IDLE_SECONDS", "2"))
LOOK_SECONDS = 0.02
WARM_UPS = 2
WEB_SECONDS = 120.0
_START = """
mutation Start($id: ID!) {
  executeWorkflow(workflowId: $id, environment: PRODUCTION) {
    execution { id } errors { code message }
  }
}
"""

_STATUS = "query Status($id: ID!) { execution(id: $id) { status } }"
_LOOKS = 10_000


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
    """The run's id, by the GraphQL door."""
    variables = {"id": global_id("Workflow", workflow_id)}
    response = client.post("/graphql", json={"query": _START, "variables": variables})
    response.raise_for_status()
    payload = response.json()["data"]["executeWorkflow"]
    if payload["errors"]:
        raise RuntimeError(f"the start was refused: {payload['errors']}")
    return key_of(payload["execution"]["id"], "Execution")


def run_over_http(client: httpx.Client, workflow_id: uuid.UUID) -> None:
    """A run from its trigger to the end that the client is told."""
    variables = {"id": global_id("Execution", start_over_http(client, workflow_id))}
    for _ in range(_LOOKS):
        response = client.post("/graphql", json={"query": _STATUS, "variables": variables})
        response.raise_for_status()
        if (status := response.json()["data"]["execution"]["status"]) == "SUCCEEDED":
            return
        if status not in ("QUEUED", "RUNNING"):
            raise RuntimeError(f"a run is {status}")
    raise TimeoutError("the run did not end")
