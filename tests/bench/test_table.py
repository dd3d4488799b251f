"""What the tables say: the right target beside each figure, and whether it holds."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bench import table
from bench.figures import Cost, Timing
from bench.scale import table as scale
from bench.scale.mapped import Mapped
from bench.targets import TARGETS, TRIGGER_TARGETS

SUBJECTS = [("floor", "the floor", 40), ("pure", "pure steps", 40), ("keyed", "with a key", 40)]


def of(*seconds: float) -> list[Timing]:
    return [Timing(seconds=each) for each in seconds]


def test_times_are_per_step_and_held_against_their_own_target() -> None:
    taken = {"floor": of(0.04), "pure": of(0.04), "keyed": of(0.084)}
    head, floor, pure, keyed = table.times("w1", "W1", SUBJECTS, taken)
    assert head.split()[:3] == ["W1", "ms/step", "x"]
    assert floor.split()[-2:] == ["1.000", "1.00"], "the floor has no target"
    assert pure.split()[-5:] == ["1.000", "1.00", "<=", "1x", "holds"]
    assert keyed.split()[-5:] == ["2.100", "2.10", "<=", "2x", "NO"]


def test_costs_are_beside_the_floors() -> None:
    costs = {
        "floor": Cost(cpu_ms=0.1, transactions=1.0, wal_bytes=200),
        "pure": Cost(cpu_ms=0.05, transactions=0.1, wal_bytes=300),
        "keyed": Cost(cpu_ms=0.3, transactions=1.3, wal_bytes=900),
    }
    _, floor, pure, keyed = table.takes("w1", SUBJECTS, costs)
    assert floor.split()[-4:] == ["0.100", "1.00", "1.000", "200"]
    assert "0.50  <= 1x holds" in pure
    assert "3.00  <= 2x NO" in keyed
    assert "<= 1.2 NO" in keyed, "the floor's transactions and a fifth of one"
    assert keyed.endswith("<= 1024 holds")


def test_a_trigger_has_a_middle_and_a_tail() -> None:
    taken = {"in process": [4.0] * 18 + [7.0, 9.0], "over HTTP": [8.5] * 20}
    _, inside, outside = table.triggers(taken, idle_seconds=2)
    assert inside.split()[-8:] == ["4.0", "<=", "5", "holds", "7.0", "<=", "8", "holds"]
    assert outside.split()[-8:] == ["8.5", "<=", "8", "NO", "8.5", "<=", "15", "holds"]


def test_ideals_are_of_the_same_repetition() -> None:
    found = {"sleep": (of(1.1, 2.2), of(1.0, 2.0)), "cpu": (of(1.1), of(1.0))}
    _, sleep, cpu = table.ideals("w5", {"sleep": "sleep", "cpu": "cpu"}, found)
    assert sleep.endswith("1.10  <= 1.05x NO")
    assert cpu.endswith("1.10  <= 1.15x holds")


def test_every_cell_of_the_design_has_its_target() -> None:
    kinds = ("pure", "keyed", "unsafe")
    cells = {(workload, kind) for workload in ("w1", "w2", "w3") for kind in kinds}
    assert set(TARGETS) == cells | {("w5", "sleep"), ("w5", "cpu")}
    assert all(middle < tail for middle, tail in TRIGGER_TARGETS.values())


@pytest.mark.parametrize(("dear", "verdict"), [(0.5, "holds"), (1.14, "holds"), (1.2, "NO")])
def test_what_must_not_grow_is_compared_with_the_smallest_size(dear: float, verdict: str) -> None:
    sizes = {1_000: [1.0, 9.0, 1.0], 10_000: [dear], 100_000: [1.1]}
    lines = scale.series(scale.Series(key="queue", title="Runs queued", sizes=sizes))
    assert lines[1].split() == ["1,000", "1.000", "1000"]
    assert lines[-1].split()[-1] == verdict


def test_a_map_is_held_against_memory_and_the_runs_row() -> None:
    calm = Mapped(
        kind="pure",
        items=100_000,
        seconds=50,
        idle=100 * 2**20,
        peak=164 * 2**20,
        events=820,
        chunks=400,
        run_updates=700,
        early_cpu=0.5,
        late_cpu=0.55,
    )
    head, good, fat, busy, grown, parks = scale.maps(
        [
            calm,
            replace(calm, peak=260 * 2**20),
            replace(calm, run_updates=1_000),
            replace(calm, late_cpu=0.6),
            replace(calm, kind="parks", run_updates=300_000),
        ]
    )
    assert head.split()[:2] == ["Map,", "items"]
    assert good.split()[:6] == ["100,000,", "pure", "50.0", "2,000", "+64", "2.05"]
    assert good.endswith("holds")
    assert fat.endswith("NO")
    assert busy.endswith("NO")
    assert grown.endswith("NO")
    assert parks.endswith("holds"), "each of its items has a row that changes"
