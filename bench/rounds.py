"""The rounds of `make bench-engine`: which workloads, in which order, what is printed."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bench import branches, machine, measure, subjects, table, trigger
from bench.figures import paired_ratio
from bench.floor import Floor
from bench.house import House
from bench.meter import Meter
from bench.product import Product
from bench.progress import note
from bench.subjects import Workload
from config.supervisor.fleet import Fleet

WORKLOADS = ("w1", "w2", "w3", "w4", "w5")
RUNS = int(os.environ.get("BENCH_RUNS", "500"))
REPETITIONS = {"w1": 15, "w2": 9, "w3": 5, "w4": 20, "w5": 5}
IDLE_SECONDS = 4.0


def main(house: House, only: Iterable[str]) -> None:
    """Print what was asked for; BENCH_JSON names a file for the same as data."""
    about = machine.lines(house.owner_url, directory=house.installation.directory)
    _say(about)
    data: dict[str, Any] = {"machine": about}
    wanted = set(only)
    with house.staffed(with_web="w4" in wanted) as fleet:
        product = Product(house.app_url)
        meter = Meter(house.owner_url, roots=lambda: _roots(house, fleet))
        floor = Floor(house.owner_url)
        for workload in _workloads(product, floor, wanted=wanted):
            data[workload.key] = _beside_floor(workload, meter)
        if "w4" in wanted:
            data["w4"] = _first_steps(product, url=house.installation.url)
        if "w5" in wanted:
            data["w5"] = _branches(product)
    if path := os.environ.get("BENCH_JSON"):
        Path(path).write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")


def repetitions_of(key: str) -> int:
    """As many as asked for, else enough for a steady median."""
    return int(os.environ.get("BENCH_REPETITIONS") or REPETITIONS.get(key, 5))


def _workloads(product: Product, floor: Floor, *, wanted: set[str]) -> Iterator[Workload]:
    if "w1" in wanted:
        yield subjects.w1(product, floor)
    if "w2" in wanted:
        yield subjects.w2(product, floor)
    if "w3" in wanted:
        yield subjects.w3(product, floor, runs=RUNS)


def _beside_floor(workload: Workload, meter: Meter) -> dict[str, Any]:
    repetitions = repetitions_of(workload.key)
    timings = measure.interleaved(workload, repetitions=repetitions)
    named = [(one.key, one.title, one.steps) for one in workload.subjects]
    note("")
    _say(["", *table.times(workload.key, workload.title, named, timings)])
    floor = timings[workload.subjects[0].key]
    found: dict[str, Any] = {
        one.key: {
            "steps": one.steps,
            "seconds": [timing.seconds for timing in timings[one.key]],
            "xFloor": paired_ratio(timings[one.key], floor),
        }
        for one in workload.subjects
    }
    if os.environ.get("BENCH_COSTS") == "0":
        return found
    note("learning what the idle product takes")
    meter.learn_idle(IDLE_SECONDS)
    costs = measure.costs(workload, meter)
    note("")
    _say(table.takes(workload.key, named, costs))
    for key, cost in costs.items():
        found[key] |= {"perStep": asdict(cost)}
    return found


def _first_steps(product: Product, *, url: str) -> dict[str, list[float]]:
    taken = trigger.measure(product, url=url, repetitions=repetitions_of("w4"))
    note("")
    _say(["", *table.triggers(taken, idle_seconds=trigger.IDLE_SECONDS)])
    return taken


def _branches(product: Product) -> dict[str, Any]:
    found = branches.measure(product, repetitions=repetitions_of("w5"))
    note("")
    _say(["", *table.ideals("w5", branches.TITLES, found)])
    return {
        kind: {
            "seconds": [timing.seconds for timing in mine],
            "ideal": [timing.seconds for timing in best],
            "xIdeal": paired_ratio(mine, best),
        }
        for kind, (mine, best) in found.items()
    }


def _roots(house: House, fleet: Fleet) -> list[int]:
    return [os.getpid(), *house.server_pids(), *fleet.processes().values()]


def _say(lines: Iterable[str]) -> None:
    sys.stdout.writelines(f"{line}\n" for line in lines)
    sys.stdout.flush()
