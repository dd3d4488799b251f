"""The table: a peer beside us, per workload."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from bench.documents import BRANCHES, CHAIN, FAN, SHORT
from bench.peers.catalogue import Door

_STEPS: Final = {"w1": CHAIN, "w2": FAN + 2, "w5sleep": BRANCHES, "w5cpu": BRANCHES}
HEAD: Final = f"{'':<26}{'peer':>9}{'ours pure':>11}{'x':>8}{'ours strict':>13}{'x':>8}"
_NAMES: Final = {
    "w1": "W1 chain of 40",
    "w2": "W2 1 -> 200 -> 1",
    "w3": "W3 many at once",
    "w4": "W4 to the first step",
    "w5sleep": "W5 10 x sleep 1 s",
    "w5cpu": "W5 10 x fib(31)",
}


@dataclass(frozen=True, kw_only=True)
class Row:
    """One workload of one peer: medians in seconds, ours by kind of step, and how often slower."""

    peer: str
    version: str
    door: Door
    case: str
    runs: int
    peer_seconds: float | None
    our_seconds: Mapping[str, float]
    ratios: Mapping[str, float]
    """Median over repetitions of peer by ours: both of one repetition."""
    why: str = ""


def line(row: Row) -> str:
    """Milliseconds per step of the peer, of ours, and how many times longer the peer takes."""
    name = f"  {_NAMES[row.case]}"
    if row.case == "w3":
        name += f" ({row.runs})"
    steps = row.runs * SHORT if row.case == "w3" else _STEPS.get(row.case, 1)

    def each(seconds: float | None) -> str:
        return "-" if seconds is None else f"{seconds / steps * 1000:.3f}"

    def ratio(kind: str) -> str:
        return f"{row.ratios[kind]:.1f}x" if kind in row.ratios else ""

    pure, strict = row.our_seconds.get("pure"), row.our_seconds.get("keyed")
    told = f"{name:<26}{each(row.peer_seconds):>9}{each(pure):>11}{ratio('pure'):>8}"
    if strict is not None:
        told += f"{each(strict):>13}{ratio('keyed'):>8}"
    return f"{told}  {row.why}".rstrip()
