"""Rings that follow each other closely are told together, and none is lost."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

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
