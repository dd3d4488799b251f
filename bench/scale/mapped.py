"""What was found of one large map."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Mapped:
    """One map as it went; sizes in bytes."""

    kind: str
    items: int
    seconds: float
    idle: int
    peak: int
    events: int
    chunks: int
    run_updates: int
