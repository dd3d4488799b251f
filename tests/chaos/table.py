"""What the long runs print: one row for each cell or storm, and whether anything was violated."""

from __future__ import annotations

import sys
from collections.abc import Sequence

HEAD = ("cell", "runs", "kills", "fenced", "absorbed", "recovery p50/p95/max", "violations")


class Table:
    """Rows as they come; `violations` counts."""

    def __init__(self) -> None:
        self.violations: list[str] = []
        self.line(HEAD)

    def line(self, cells: Sequence[str]) -> None:
        """One row."""
        name, *numbers, last = cells
        middle = " ".join(
            f"{one:>{len(head)}}" for one, head in zip(numbers, HEAD[1:], strict=False)
        )
        sys.stdout.write(f"{name:<52} {middle} {last}\n")
        sys.stdout.flush()

    def row(
        self,
        name: str,
        *,
        runs: int,
        kills: int = 0,
        fenced: int = 0,
        absorbed: int = 0,
        recoveries: Sequence[float] = (),
        violations: Sequence[str] = (),
    ) -> None:
        """One cell or storm, with what it violated below it."""
        self.violations += [f"{name}: {one}" for one in violations]
        shown = str(len(violations)) if violations else "-"
        self.line((name, *map(str, (runs, kills, fenced, absorbed)), spread(recoveries), shown))
        for one in violations:
            sys.stdout.write(f"    {one}\n")

    def say(self, words: str) -> None:
        """Between the rows."""
        sys.stdout.write(f"{words}\n")
        sys.stdout.flush()


def spread(values: Sequence[float]) -> str:
    """Median, 95th percentile, largest."""
    if not values:
        return ""
    ordered = sorted(values)
    p95 = ordered[min(len(ordered) - 1, round(0.95 * (len(ordered) - 1)))]
    return f"{ordered[len(ordered) // 2]:.1f}/{p95:.1f}/{ordered[-1]:.1f} s"
