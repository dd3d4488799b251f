"""What is made of measured seconds: medians, percentiles, ratios within one repetition."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Timing:
    """One repetition: from the start to the end its client knows of, and the starting alone."""

    seconds: float
    starting: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What a step takes from the machine, all processes and PostgreSQL together."""

    cpu_ms: float
    transactions: float
    wal_bytes: float


def median_seconds(timings: Sequence[Timing]) -> float:
    """Of the whole."""
    return statistics.median(timing.seconds for timing in timings)


def median_starting(timings: Sequence[Timing]) -> float:
    """Of the starting call."""
    return statistics.median(timing.starting for timing in timings)


def paired_ratio(timings: Sequence[Timing], floors: Sequence[Timing]) -> float:
    """Median over repetitions of subject by floor: both saw the same load of the machine."""
    pairs = zip(timings, floors, strict=True)
    return statistics.median(timing.seconds / floor.seconds for timing, floor in pairs)


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that so large a share of all does not exceed (nearest rank)."""
    ordered = sorted(values)
    rank = max(1, math.ceil(share * len(ordered)))
    return ordered[rank - 1]


def median_cost(costs: Sequence[Cost]) -> Cost:
    """Each part by itself."""
    return Cost(
        cpu_ms=statistics.median(cost.cpu_ms for cost in costs),
        transactions=statistics.median(cost.transactions for cost in costs),
        wal_bytes=statistics.median(cost.wal_bytes for cost in costs),
    )
