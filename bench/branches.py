"""W5: branches that wait and branches that compute, beside an ideal taken in between."""

from __future__ import annotations

import multiprocessing
import os
import time
import uuid
from collections.abc import Callable
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor

from bench.documents import BRANCHES, side_by_side
from bench.figures import Timing
from bench.product import Product
from bench.progress import note
from bench.work import LONG, fibonacci

SLEEP_SECONDS = 1.0
LOOK_SECONDS = 0.005
TITLES = {
    "sleep": f"{BRANCHES} x sleep {SLEEP_SECONDS:g} s",
    "cpu": f"{BRANCHES} x fib({LONG}), a process per step",
}


def measure(product: Product, *, repetitions: int) -> dict[str, tuple[list[Timing], list[Timing]]]:
    """Subject and ideal, by kind; both of one repetition saw the same load."""
    found: dict[str, tuple[list[Timing], list[Timing]]] = {}
    context = multiprocessing.get_context("spawn")
    with (
        ThreadPoolExecutor(BRANCHES) as threads,
        ProcessPoolExecutor(os.cpu_count(), mp_context=context) as cores,
    ):
        ideals: dict[str, Callable[[], None]] = {
            "sleep": lambda: _all(threads, time.sleep, SLEEP_SECONDS),
            "cpu": lambda: _all(cores, fibonacci, LONG),
        }
        for kind, ideal in ideals.items():
            workflow = product.deploy(side_by_side(kind, width=BRANCHES))
            mine: list[Timing] = []
            best: list[Timing] = []
            # The first round warms both up.
            for repetition in range(-1, repetitions):
                pair = _timed(ideal), _timed(lambda: _run(product, workflow))  # noqa: B023
                if repetition >= 0:
                    best.append(pair[0])
                    mine.append(pair[1])
                note(f"w5 {kind} {max(0, repetition + 1)}/{repetitions}")
            found[kind] = mine, best
    return found


def _all(executor: Executor, work: Callable[..., object], argument: float) -> None:
    list(executor.map(work, [argument] * BRANCHES))


def _run(product: Product, workflow: uuid.UUID) -> None:
    product.watch.until_done(product.start(workflow), look=LOOK_SECONDS)


def _timed(work: Callable[[], None]) -> Timing:
    began = time.perf_counter()
    work()
    return Timing(seconds=time.perf_counter() - began)
