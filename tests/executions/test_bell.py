"""Rings that follow each other closely are told together, and none is lost."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from uuid import UUID, uuid4

from apps.executions import process, tasks
from apps.executions.tasks import Forewarner, Ringer
from apps.executions.worker import expecting
from apps.executions.worker.expecting import Expecting

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


def test_who_is_told_of_looks_for_longer_than_the_teller_trusts() -> None:
    assert expecting.EXPECT_SECONDS > tasks.TRUST_SECONDS


def test_a_single_run_is_told_of_and_no_ring_is_needed() -> None:
    told: list[tuple[UUID, str]] = []
    forewarner = Forewarner(lambda run, pool: told.append((run, pool)), lambda: True)
    run_id, other = uuid4(), uuid4()
    forewarner.tell(run_id, "io")
    assert told == [(run_id, "io")]
    assert not forewarner.has_told(other)
    assert forewarner.has_told(run_id)
    assert not forewarner.has_told(run_id)


def test_many_runs_are_rung_for() -> None:
    told: list[UUID] = []
    forewarner = Forewarner(lambda run, _pool: told.append(run), lambda: True)
    runs = [uuid4() for _ in range(5)]
    for run_id in runs:
        forewarner.tell(run_id, "io")
    assert told == runs[:1]
    assert [forewarner.has_told(run_id) for run_id in runs] == [True, *[False] * 4]


def test_what_was_not_heard_is_rung_for() -> None:
    forewarner = Forewarner(lambda _run, _pool: None, lambda: False)
    run_id = uuid4()
    forewarner.tell(run_id, "io")
    assert not forewarner.has_told(run_id)


def test_what_took_long_is_rung_for() -> None:
    forewarner = Forewarner(lambda _run, _pool: None, lambda: True)
    run_id = uuid4()
    forewarner.tell(run_id, "io")
    time.sleep(2 * tasks.TRUST_SECONDS)
    assert not forewarner.has_told(run_id)


def test_an_expected_run_is_looked_for_until_it_is_met() -> None:
    expected = Expecting()
    assert expected.pools() == frozenset()
    one, other = uuid4(), uuid4()
    expected.add(one, "io")
    expected.add(other, "system")
    expected.met([one])
    assert expected.pools() == {"system"}
    expected.met([other])
    assert expected.pools() == frozenset()


def test_an_expected_run_is_looked_for_once_more_when_its_time_is_over() -> None:
    expected = Expecting()
    expected.add(uuid4(), "io")
    time.sleep(2 * expecting.EXPECT_SECONDS)
    assert expected.pools() == {"io"}
    assert expected.pools() == frozenset()
