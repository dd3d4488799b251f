"""What was found of one large map."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Mapped:
    """One map as it went; sizes in bytes, CPU of all processes in milliseconds an item."""

    kind: str
    items: int
    seconds: float
    idle: int
    peak: int
    events: int
    chunks: int
    run_updates: int
    early_cpu: float
    """Over the first half of the items, but for the very first."""
    late_cpu: float
    """Over the second half."""
