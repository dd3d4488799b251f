"""One line of a table each: what is repeated, how many steps it has, how it is named."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass

from bench.documents import CHAIN, FAN, SHORT, chain, fan
from bench.figures import Timing
from bench.floor import Floor
from bench.product import Product

LOOK_SECONDS = 0.0003
SLOW_LOOK_SECONDS = 0.02
"""While costs are counted: the looking itself shall not."""
KINDS = {
    "pure": "pure steps",
    "keyed": "effects with a key",
    "unsafe": "effects without a key",
}


@dataclass(frozen=True, kw_only=True)
class Subject:
    """`run` takes the pause between two looks at whether it is done."""

    key: str
    title: str
    steps: int
    run: Callable[[float], Timing]
    is_floor: bool = False


@dataclass(frozen=True, kw_only=True)
class Workload:
    """The floor first, then what stands beside it."""

    key: str
    title: str
    subjects: tuple[Subject, ...]
    cost_runs: int


def w1(product: Product, floor: Floor) -> Workload:
    """A chain."""
    return Workload(
        key="w1",
        title=f"W1  chain of {CHAIN}",
        subjects=(
            _floor(CHAIN, floor.chain),
            *_single(product, CHAIN, lambda kind: product.deploy(chain(kind, steps=CHAIN))),
        ),
        cost_runs=10,
    )


def w2(product: Product, floor: Floor) -> Workload:
    """Out and in again."""
    return Workload(
        key="w2",
        title=f"W2  1 -> {FAN} -> 1",
        subjects=(
            _floor(FAN + 2, floor.fan),
            *_single(product, FAN + 2, lambda kind: product.deploy(fan(kind, width=FAN))),
        ),
        cost_runs=4,
    )


def w3(product: Product, floor: Floor, *, runs: int) -> Workload:
    """Many at once."""

    def subject(kind: str, title: str) -> Subject:
        workflow = product.deploy(chain(kind, steps=SHORT))
        return Subject(
            key=kind,
            title=title,
            steps=runs * SHORT,
            run=lambda look: _many(product, workflow, runs=runs, look=look),
        )

    return Workload(
        key="w3",
        title=f"W3  {runs} workflows of {SHORT} steps started at once",
        subjects=(
            _floor(runs * SHORT, lambda: floor.many(runs)),
            *(subject(kind, title) for kind, title in KINDS.items()),
        ),
        cost_runs=1,
    )


def _floor(steps: int, run: Callable[[], Timing]) -> Subject:
    return Subject(
        key="floor",
        title="floor: one durable insert per step",
        steps=steps,
        run=lambda _look: run(),
        is_floor=True,
    )


def _single(
    product: Product, steps: int, deploy: Callable[[str], uuid.UUID]
) -> tuple[Subject, ...]:
    def subject(kind: str, title: str) -> Subject:
        workflow = deploy(kind)
        return Subject(
            key=kind,
            title=title,
            steps=steps,
            run=lambda look: _one(product, workflow, look=look),
        )

    return tuple(subject(kind, title) for kind, title in KINDS.items())


def _one(product: Product, workflow: uuid.UUID, *, look: float) -> Timing:
    began = time.perf_counter()
    run_id = product.start(workflow)
    starting = time.perf_counter() - began
    product.watch.until_done(run_id, look=look)
    return Timing(seconds=time.perf_counter() - began, starting=starting)


def _many(product: Product, workflow: uuid.UUID, *, runs: int, look: float) -> Timing:
    began = time.perf_counter()
    product.start_many(workflow, runs)
    starting = time.perf_counter() - began
    product.watch.until_all_done(look=max(look, 0.002))
    seconds = time.perf_counter() - began
    product.watch.require_all_succeeded()
    return Timing(seconds=seconds, starting=starting)
