"""What a step costs in a short run and in a very long one."""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping
from typing import Any, Final

from bench.documents import chain
from bench.product import Product
from bench.progress import note
from bench.scale.table import Series

CHAINS: Final = (100, 1_000, 2_000)
"""The last is the largest document."""
ROUNDS: Final = (100, 1_000, 9_900)
"""Iterations; a run opens at most 10,000 steps."""
FIRST: Final = 20
"""Shorter runs are repeated, so that both sizes take seconds."""
LOOK_SECONDS: Final = 0.002


def chains(product: Product, *, repetitions: int) -> Series:
    """Documents of so many nodes, each durable before the next."""
    documents = {steps: chain("keyed", steps=steps) for steps in CHAINS}
    return _compared(
        product, documents, repetitions=repetitions, key="steps", title="Steps of one run, a chain"
    )


def loops(product: Product, *, repetitions: int) -> Series:
    """One node in a loop; nearly as many steps as a run may have."""
    documents = {rounds: _loop(rounds) for rounds in ROUNDS}
    return _compared(
        product, documents, repetitions=repetitions, key="loop", title="Steps of one run, a loop"
    )


def _compared(
    product: Product,
    documents: Mapping[int, dict[str, Any]],
    *,
    repetitions: int,
    key: str,
    title: str,
) -> Series:
    taken: dict[int, list[float]] = {size: [] for size in documents}
    workflows = {size: product.deploy(document) for size, document in documents.items()}
    largest = max(documents)
    for workflow in workflows.values():
        _seconds(product, workflow)
    for repetition in range(repetitions):
        for size, workflow in workflows.items():
            times = max(1, min(FIRST, largest // size))
            seconds = sum(_seconds(product, workflow) for _ in range(times))
            taken[size].append(seconds * 1000 / (size * times))
            note(f"{key} {repetition + 1}/{repetitions}: {size:,}")
    return Series(key=key, title=title, sizes=taken)


def _seconds(product: Product, workflow: uuid.UUID) -> float:
    """Between the first step's start and the run's end, as its history has it."""
    run_id = product.start(workflow)
    product.watch.until_done(run_id, look=LOOK_SECONDS)
    time.sleep(0.05)
    return product.watch.seconds_of(run_id)


def _loop(rounds: int) -> dict[str, Any]:
    return {
        "schemaVersion": 1,
        "name": f"Loop of {rounds}",
        "type": "dataPipeline",
        "nodes": [
            {"id": "first", "type": "bench.pure"},
            {
                "id": "rounds",
                "type": "control.loop",
                "configuration": {"max_iterations": rounds, "at_limit": "leave"},
            },
            {"id": "one", "type": "bench.keyed", "parentId": "rounds"},
        ],
        "connections": [
            _link("c0", "first", "value", "rounds", "value"),
            _link("c1", "rounds", "item", "one", "value"),
            _link("c2", "one", "value", "rounds", "next"),
        ],
    }


def _link(name: str, source: str, output: str, target: str, into: str) -> dict[str, Any]:
    return {
        "id": name,
        "source": source,
        "sourcePort": output,
        "target": target,
        "targetPort": into,
    }
