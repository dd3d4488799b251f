"""The lines of `make bench-scale`, and whether what must not grow has grown."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from bench.figures import spread

TOLERATED: Final = 0.15
"""How much the slowest size may lie above the fastest."""


@dataclass(frozen=True, kw_only=True)
class Series:
    """One question: milliseconds per step by size, several measurements each."""

    key: str
    title: str
    sizes: Mapping[int, Sequence[float]]

    def medians(self) -> dict[int, float]:
        """Of each size."""
        return {size: statistics.median(taken) for size, taken in self.sizes.items()}

    def growth(self) -> float:
        """How much the dearest size exceeds the cheapest, as a share."""
        return spread(list(self.medians().values()))


def series(found: Series) -> list[str]:
    """A line for each size, then the verdict."""
    growth = found.growth()
    verdict = "holds" if growth <= TOLERATED else "NO"
    return [
        f"{found.title:<44}{'ms/step':>9}{'steps/s':>9}",
        *(f"  {size:>12,}{ms:>39.3f}{1000 / ms:>9.0f}" for size, ms in found.medians().items()),
        f"  apart by {growth:.0%}, <= {TOLERATED:.0%} {verdict}",
    ]


def memory(items: int, *, seconds: float, idle: int, peak: int) -> list[str]:
    """Resident bytes of the largest worker, before a map and at its worst."""
    grown = (peak - idle) / 2**20
    return [
        f"Map over {items:,} items: {seconds:.1f} s, {items / seconds:,.0f} items/s; largest worker"
        f" {idle / 2**20:.0f} MiB before, {peak / 2**20:.0f} MiB at most (+{grown:.0f})"
    ]
