"""Rings that follow each other closely are told together, and none is lost."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

from apps.executions import process
from apps.executions.tasks import Ringer

RINGS = 400
PATIENCE_SECONDS = 30


def test_a_ring_after_silence_is_told_at_once_by_who_rings() -> None:
    told: list[tuple[str, int]] = []
    ringer = Ringer(lambda pool: told.append((pool, threading.get_ident())))
    ringer.ring("io")
    ringer.ring("cpu")
    assert told == [("io", threading.get_ident()), ("cpu", threading.get_ident())]


def test_after_every_ring_somebody_is_told() -> None:
    lock = threading.Lock()
    written, seen = 0, 0
    told = 0

    def tell(_pool: str) -> None:
        nonlocal seen, told
        with lock:
            seen, told = written, told + 1

    ringer = Ringer(tell)

    def write_and_ring(_: int) -> None:
        nonlocal written
        with lock:
            written += 1
        ringer.ring("io")

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(write_and_ring, range(RINGS)))
    until = time.monotonic() + PATIENCE_SECONDS
    while seen < RINGS and time.monotonic() < until:
        time.sleep(0.001)
    assert seen == RINGS
    assert told <= RINGS


def test_rings_do_not_pile_up_behind_one_that_hangs() -> None:
    rung: list[str] = []
    hangs, goes_on = threading.Event(), threading.Event()

    def ring(pool: str) -> None:
        rung.append(pool)
        hangs.set()
        assert goes_on.wait(20)

    process._ring(("io",), ring)
    assert hangs.wait(20)
    for _ in range(100):
        process._ring(("io", "cpu"), ring)
    goes_on.set()
    process._ringer.submit(lambda: None).result(timeout=20)
    assert rung == ["io", "io", "cpu"]
