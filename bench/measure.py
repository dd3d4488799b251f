"""Repeats subjects side by side, so that a load that comes and goes falls on all of them."""

from __future__ import annotations

import time

from bench.figures import Cost, Timing, median_cost
from bench.meter import Meter
from bench.progress import note
from bench.subjects import LOOK_SECONDS, SLOW_LOOK_SECONDS, Workload

WARM_UPS = 2
REST_SECONDS = 0.05
"""Between two subjects: what the one still tidies shall not slow the other."""
SETTLE_SECONDS = 1.5
"""After a block whose cost is counted: what is announced later belongs to it."""
COST_BLOCKS = 3


def interleaved(workload: Workload, *, repetitions: int) -> dict[str, list[Timing]]:
    """Each repetition runs every subject once, the floor first."""
    timings: dict[str, list[Timing]] = {subject.key: [] for subject in workload.subjects}
    for repetition in range(-WARM_UPS, repetitions):
        for subject in workload.subjects:
            timing = subject.run(LOOK_SECONDS)
            time.sleep(REST_SECONDS)
            if repetition >= 0:
                timings[subject.key].append(timing)
        note(f"{workload.key} {max(0, repetition + 1)}/{repetitions}")
    return timings


def costs(workload: Workload, meter: Meter) -> dict[str, Cost]:
    """CPU, write transactions and WAL per step; also interleaved."""
    found: dict[str, list[Cost]] = {subject.key: [] for subject in workload.subjects}
    for block in range(COST_BLOCKS):
        for subject in workload.subjects:
            before = meter.read()
            for _ in range(workload.cost_runs):
                subject.run(SLOW_LOOK_SECONDS)
            time.sleep(SETTLE_SECONDS)
            steps = subject.steps * workload.cost_runs
            found[subject.key].append(meter.cost(before, meter.read(), steps=steps))
        note(f"{workload.key} costs {block + 1}/{COST_BLOCKS}")
    return {key: median_cost(blocks) for key, blocks in found.items()}
