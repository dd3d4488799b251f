"""What the engine's design asks for, cell by cell."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, kw_only=True)
class Target:
    """Most that may be: times and CPU as multiples of the floor's, WAL in bytes per step."""

    time: float
    cpu: float | None = None
    transactions_above_floor: float | None = None
    wal_bytes: float | None = None


def _effects(*, time: float, cpu: float, wal_bytes: float) -> Target:
    return Target(time=time, cpu=cpu, transactions_above_floor=0.2, wal_bytes=wal_bytes)


TARGETS: Final[Mapping[tuple[str, str], Target]] = {
    ("w1", "pure"): Target(time=1.0, cpu=1.0),
    ("w1", "keyed"): _effects(time=2.0, cpu=2.0, wal_bytes=1024),
    ("w1", "unsafe"): _effects(time=2.0, cpu=2.0, wal_bytes=1024),
    ("w2", "pure"): Target(time=1.0, cpu=1.0),
    ("w2", "keyed"): _effects(time=1.5, cpu=2.0, wal_bytes=1024),
    ("w2", "unsafe"): _effects(time=1.5, cpu=2.0, wal_bytes=1024),
    ("w3", "pure"): Target(time=1.5),
    ("w3", "keyed"): _effects(time=2.5, cpu=3.0, wal_bytes=1331),
    ("w3", "unsafe"): _effects(time=3.0, cpu=3.0, wal_bytes=1331),
    ("w5", "sleep"): Target(time=1.05),
    ("w5", "cpu"): Target(time=1.15),
}

# Milliseconds from the trigger to the first step's body, p50 and p95, after seconds of idleness.
TRIGGER_TARGETS: Final[Mapping[str, tuple[float, float]]] = {
    "in process": (5.0, 8.0),
    "over HTTP": (8.0, 15.0),
}
