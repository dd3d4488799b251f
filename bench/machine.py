"""Where and on what it was measured."""

from __future__ import annotations

import os
import platform
import time
from importlib.metadata import version
from pathlib import Path

import psycopg

_SETTINGS = ("server_version", "fsync", "synchronous_commit", "wal_sync_method", "shared_buffers")
SYNCS = 50


def lines(url: str, *, directory: Path) -> list[str]:
    """Machine, versions, the server's settings, what one durable write costs here."""
    with psycopg.connect(url, autocommit=True) as connection:
        rows = [(name, connection.execute(f"SHOW {name}").fetchone()) for name in _SETTINGS]
    settings = ", ".join(f"{name}={row[0]}" for name, row in rows if row)
    load = ", ".join(f"{one:.1f}" for one in os.getloadavg())
    system = f"{platform.system()} {platform.release()}"
    return [
        f"{os.cpu_count()} cores ({_model()}), {system}, load {load}",
        f"Python {platform.python_version()}, psycopg {version('psycopg')}, {settings}",
        f"one fdatasync of 8 KiB in the data directory: {_sync_ms(directory):.2f} ms (median)",
    ]


def _model() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _sync_ms(directory: Path) -> float:
    path = directory / "sync"
    taken = []
    with path.open("wb", buffering=0) as file:
        for _ in range(SYNCS):
            file.write(bytes(8192))
            began = time.perf_counter()
            os.fdatasync(file.fileno())
            taken.append(time.perf_counter() - began)
    path.unlink()
    return sorted(taken)[SYNCS // 2] * 1000
