"""The rounds of `make bench-scale`: each size in turn, so that the load falls on all of them."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from apps.workflows.graph import catalogue
from bench import machine
from bench.house import House
from bench.product import Product
from bench.progress import note
from bench.scale import items, queue, steps, table

QUESTIONS: Final = ("queue", "steps", "map")


def main(house: House, only: Iterable[str]) -> None:
    """Print what was asked for; BENCH_JSON names a file for the same as data."""
    about = machine.lines(house.owner_url, directory=house.installation.directory)
    _say(about)
    wanted, product = set(only), Product(house.app_url)
    answers: dict[str, Any] = {}
    repetitions = int(os.environ.get("BENCH_REPETITIONS") or 3)
    if "queue" in wanted:
        answers["queue"] = _series(queue.measure(house, product, repetitions=repetitions))
    with house.staffed() as fleet:
        if "steps" in wanted:
            answers["steps"] = _series(steps.chains(product, repetitions=repetitions))
            if _has("control.loop"):
                answers["loop"] = _series(steps.loops(product, repetitions=repetitions))
        if "map" in wanted and _has("control.map"):
            found = items.measure(house, product, fleet)
            note("")
            _say(["", *table.maps(found)])
            answers["map"] = [asdict(one) for one in found]
    if path := os.environ.get("BENCH_JSON"):
        text = json.dumps({"machine": about, **answers}, indent=1)
        Path(path).write_text(text + "\n", encoding="utf-8")


def _series(found: table.Series) -> dict[str, Any]:
    note("")
    _say(["", *table.series(found)])
    return asdict(found) | {"medians": found.medians(), "growth": found.growth()}


def _has(node_type: str) -> bool:
    return catalogue.get(node_type) is not None


def _say(lines: Iterable[str]) -> None:
    sys.stdout.writelines(f"{line}\n" for line in lines)
    sys.stdout.flush()
