"""W1: a chain of 40 trivial steps, beside the floor of one durable insert per step."""

from __future__ import annotations

import os
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import psycopg

from bench.floor import Floor
from bench.product import Product

STEPS = 40
WARM_UPS = 3
KINDS = {
    "pure": "pure steps, checkpointed in groups",
    "keyed": "effects with a key: one durable append per step",
    "unsafe": "effects without: intent and outcome durable",
}


@dataclass
class Series:
    """Repetitions of one variant, in seconds: queued to done, and the call that starts a run."""

    done: list[float] = field(default_factory=list)
    called: list[float] = field(default_factory=list)


def chain(kind: str) -> dict[str, Any]:
    """The document."""
    return {
        "schemaVersion": 1,
        "name": f"W1 {kind}",
        "type": "dataPipeline",
        "nodes": [{"id": f"n{i}", "type": f"bench.{kind}"} for i in range(STEPS)],
        "connections": [
            {"id": f"c{i}", "source": f"n{i}", "target": f"n{i + 1}"} for i in range(STEPS - 1)
        ],
    }


def measure(product: Product, *, repetitions: int) -> tuple[list[float], dict[str, Series]]:
    """Floor and variants, interleaved; the first rounds only warm up."""
    floor = Floor(os.environ["DATABASE_URL"])
    workflows = {kind: product.deploy(chain(kind)) for kind in KINDS}
    series = {kind: Series() for kind in KINDS}
    floors: list[float] = []
    with psycopg.connect(os.environ["DATABASE_APP_URL"], autocommit=True) as watch:
        for repetition in range(repetitions + WARM_UPS):
            seconds = floor.chain(STEPS)
            timings = {kind: product.run(workflows[kind], watch) for kind in KINDS}
            if repetition < WARM_UPS:
                continue
            floors.append(seconds)
            for kind, (done, called) in timings.items():
                series[kind].done.append(done)
                series[kind].called.append(called)
    return floors, series


def report(floors: Sequence[float], series: dict[str, Series]) -> list[str]:
    """A table: medians from queued to done, wake-up and claim included, and ratios to the floor."""
    base = statistics.median(floors) / STEPS * 1000
    lines = [
        f"{'W1: chain of 40':<52}{'ms/step':>9}{'x floor':>9}{'start call':>13}",
        f"{'floor: one durable insert per step, no engine':<52}{base:>9.3f}{1:>9.2f}",
    ]
    for kind, held in series.items():
        step = statistics.median(held.done) / STEPS * 1000
        called = statistics.median(held.called) * 1000
        lines.append(f"{KINDS[kind]:<52}{step:>9.3f}{step / base:>9.2f}{called:>10.1f} ms")
    return lines
