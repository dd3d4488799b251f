"""The tables: one line per subject, each figure beside its target and whether that holds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from bench.figures import Cost, Timing, median_seconds, median_starting, paired_ratio, percentile
from bench.targets import TARGETS, TRIGGER_TARGETS, Target

_WIDTH = 38


def times(
    key: str,
    title: str,
    subjects: Sequence[tuple[str, str, int]],
    timings: Mapping[str, Sequence[Timing]],
) -> list[str]:
    """Time per step; `subjects` are key, title and steps, the floor first."""
    floor = timings[subjects[0][0]]
    lines = [f"{title:<{_WIDTH}}{'ms/step':>9}{'x floor':>9}  {'target':<14}{'starting':>10}"]
    for subject, name, steps in subjects:
        mine = timings[subject]
        step = median_seconds(mine) / steps * 1000
        ratio = paired_ratio(mine, floor)
        target = TARGETS.get((key, subject))
        verdict = _verdict(ratio, target.time, unit="x") if target else ""
        starting = median_starting(mine) * 1000
        started = f"{starting:>7.1f} ms" if starting else ""
        lines.append(f"  {name:<{_WIDTH - 2}}{step:>9.3f}{ratio:>9.2f}  {verdict:<14}{started:>10}")
    return lines


def takes(
    key: str, subjects: Sequence[tuple[str, str, int]], costs: Mapping[str, Cost]
) -> list[str]:
    """CPU, write transactions and WAL per step."""
    floor = costs[subjects[0][0]]
    lines = [
        f"{'  per step, all processes and PostgreSQL':<{_WIDTH}}{'CPU ms':>9}{'x floor':>9}"
        f"  {'target':<14}{'write tx':>9}  {'target':<14}{'WAL B':>7}  target"
    ]
    for subject, name, _ in subjects:
        cost = costs[subject]
        ratio = cost.cpu_ms / floor.cpu_ms
        cpu, transactions, wal = _cost_verdicts(
            cost, TARGETS.get((key, subject)), ratio=ratio, floor=floor
        )
        lines.append(
            f"  {name:<{_WIDTH - 2}}{cost.cpu_ms:>9.3f}{ratio:>9.2f}  {cpu:<14}"
            f"{cost.transactions:>9.3f}  {transactions:<14}{cost.wal_bytes:>7.0f}  {wal}"
        )
    return lines


def triggers(taken: Mapping[str, Sequence[float]], *, idle_seconds: float) -> list[str]:
    """Milliseconds to the first step's body."""
    title = f"W4  trigger to first step after {idle_seconds:g} s of idleness"
    lines = [f"{title:<52}{'p50 ms':>9}  {'target':<14}{'p95 ms':>9}  target"]
    for name, milliseconds in taken.items():
        middle, high = (percentile(milliseconds, share) for share in (0.5, 0.95))
        most = TRIGGER_TARGETS[name]
        lines.append(
            f"  {name:<50}{middle:>9.1f}  {_verdict(middle, most[0], unit=''):<14}"
            f"{high:>9.1f}  {_verdict(high, most[1], unit='')}"
        )
    return lines


def ideals(
    key: str,
    titles: Mapping[str, str],
    found: Mapping[str, tuple[Sequence[Timing], Sequence[Timing]]],
) -> list[str]:
    """Seconds beside what the machine could do at best."""
    title = "W5  branches side by side"
    lines = [f"{title:<{_WIDTH}}{'s':>9}{'ideal s':>9}{'x ideal':>9}  target"]
    for kind, (mine, best) in found.items():
        ratio = paired_ratio(mine, best)
        verdict = _verdict(ratio, TARGETS[key, kind].time, unit="x")
        lines.append(
            f"  {titles[kind]:<{_WIDTH - 2}}{median_seconds(mine):>9.3f}"
            f"{median_seconds(best):>9.3f}{ratio:>9.2f}  {verdict}"
        )
    return lines


def _cost_verdicts(
    cost: Cost, target: Target | None, *, ratio: float, floor: Cost
) -> tuple[str, str, str]:
    if target is None:
        return "", "", ""
    above = target.transactions_above_floor
    most = None if above is None else floor.transactions + above
    return (
        _verdict(ratio, target.cpu, unit="x"),
        _verdict(cost.transactions, most, unit=""),
        _verdict(cost.wal_bytes, target.wal_bytes, unit=""),
    )


def _verdict(value: float, most: float | None, *, unit: str) -> str:
    if most is None:
        return ""
    return f"<= {most:g}{unit} {'holds' if value <= most else 'NO'}"
