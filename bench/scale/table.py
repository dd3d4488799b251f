"""The lines of `make bench-scale`, and whether what must not grow has grown."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from bench.scale.mapped import Mapped

TOLERATED: Final = 0.15
"""How much any size may lie above the smallest."""

GROWN_MIB: Final = 100
"""What the largest worker may grow by during a map."""


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
        """How much the dearest of the larger sizes exceeds the smallest, as a share."""
        medians = self.medians()
        smallest = min(medians)
        larger = [taken for size, taken in medians.items() if size != smallest]
        return max(larger) / medians[smallest] - 1 if larger else 0.0


def series(found: Series) -> list[str]:
    """A line for each size, then the verdict."""
    growth = found.growth()
    verdict = "holds" if growth <= TOLERATED else "NO"
    return [
        f"{found.title:<44}{'ms/step':>9}{'steps/s':>9}",
        *(f"  {size:>12,}{ms:>39.3f}{1000 / ms:>9.0f}" for size, ms in found.medians().items()),
        f"  grows by {growth:.0%}, <= {TOLERATED:.0%} {verdict}",
    ]


def maps(found: Sequence[Mapped]) -> list[str]:
    """A line for each kind of body: speed, memory, history, and whether the last two hold."""
    head = (
        f"{'Map, items':<20}{'seconds':>9}{'items/s':>9}"
        f"{'MiB +':>7}{'events/chunk':>14}{'run row':>9}{'CPU ms/item':>14}"
    )
    return [head, *map(_mapped, found)]


def _mapped(one: Mapped) -> str:
    grown = (one.peak - one.idle) / 2**20
    events = one.events / max(one.chunks, 1)
    # An item that is a run has a row that changes; those are not the map's.
    own = one.run_updates < one.items / 100 or one.kind == "parks"
    steady = one.late_cpu <= one.early_cpu * (1 + TOLERATED)
    holds = grown < GROWN_MIB and own and steady
    return (
        f"{one.items:>9,}, {one.kind:<9}{one.seconds:>9.1f}{one.items / one.seconds:>9,.0f}"
        f"{grown:>+7.0f}{events:>14.2f}{one.run_updates:>9,}"
        f"{one.early_cpu:>7.2f}{one.late_cpu:>7.2f}  <= {GROWN_MIB} MiB, 1 update in 100 items,"
        f" no growth {'holds' if holds else 'NO'}"
    )
