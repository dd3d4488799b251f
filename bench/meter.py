"""What a stretch of work takes from the machine: CPU seconds, write transactions, WAL bytes."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg

from bench.figures import Cost

# Every transaction that writes takes one id; exact and immediate, unlike pg_stat_database.
_COUNTERS = """
SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint,
       (pg_current_wal_insert_lsn() - '0/0')::bigint
"""


@dataclass(frozen=True, kw_only=True)
class Reading:
    """All counters at one instant."""

    at: float
    cpu: float
    transactions: int
    wal_bytes: int


class Meter:
    """Reads the counters; what the idle product takes by itself can be subtracted."""

    def __init__(self, url: str, *, roots: Callable[[], Sequence[int]]) -> None:
        self._connection: psycopg.Connection[Any] = psycopg.connect(url, autocommit=True)
        self._roots = roots
        self._idle = (0.0, 0.0, 0.0)

    def learn_idle(self, seconds: float) -> None:
        """What heartbeats and looks take while nothing runs, per second."""
        before = self.read()
        time.sleep(seconds)
        after = self.read()
        span = after.at - before.at
        self._idle = (
            (after.cpu - before.cpu) / span,
            (after.transactions - before.transactions) / span,
            (after.wal_bytes - before.wal_bytes) / span,
        )

    def read(self) -> Reading:
        """Now."""
        row = self._connection.execute(_COUNTERS, prepare=True).fetchone()
        if row is None:
            raise RuntimeError("no counters")
        return Reading(
            at=time.monotonic(),
            cpu=tree_seconds(self._roots()),
            transactions=row[0],
            wal_bytes=row[1],
        )

    def cost(self, before: Reading, after: Reading, *, steps: int) -> Cost:
        """Per step, without what an idle product would have taken meanwhile."""
        span = after.at - before.at
        cpu, transactions, wal = self._idle
        return Cost(
            cpu_ms=(after.cpu - before.cpu - cpu * span) * 1000 / steps,
            transactions=(after.transactions - before.transactions - transactions * span) / steps,
            wal_bytes=(after.wal_bytes - before.wal_bytes - wal * span) / steps,
        )


def tree_seconds(roots: Sequence[int]) -> float:
    """CPU seconds of these processes and all below them, ended children included."""
    parents: dict[int, int] = {}
    ticks: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            fields = (entry / "stat").read_text().rsplit(")", 1)[1].split()
        except OSError:
            continue  # It ended between the listing and the reading.
        parents[int(entry.name)] = int(fields[1])
        ticks[int(entry.name)] = sum(int(field) for field in fields[11:15])
    wanted = {pid for pid in roots if pid in parents}
    while True:
        more = {pid for pid, parent in parents.items() if parent in wanted} - wanted
        if not more:
            break
        wanted |= more
    return sum(ticks[pid] for pid in wanted) / os.sysconf("SC_CLK_TCK")
