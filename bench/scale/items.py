"""A map over very many items: its speed, and what its workers hold meanwhile."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from bench.product import Product
from bench.progress import note
from config.supervisor.fleet import Fleet

ITEMS: Final = int(os.environ.get("BENCH_ITEMS", "100000"))
LOOK_SECONDS: Final = 0.05
_PAGE: Final = os.sysconf("SC_PAGE_SIZE")


def measure(product: Product, fleet: Fleet) -> dict[str, Any]:
    """The arguments of the table's line."""
    workflow = product.deploy(_document())
    idle = _largest(fleet)
    note(f"map over {ITEMS:,} items")
    with _watched(fleet) as peaks:
        began = time.perf_counter()
        product.watch.until_done(product.start(workflow), look=LOOK_SECONDS)
        seconds = time.perf_counter() - began
    return {"items": ITEMS, "seconds": seconds, "idle": idle, "peak": max(peaks)}


@contextmanager
def _watched(fleet: Fleet) -> Iterator[list[int]]:
    peaks, ended = [_largest(fleet)], threading.Event()

    def look() -> None:
        while not ended.wait(LOOK_SECONDS):
            peaks.append(_largest(fleet))

    watcher = threading.Thread(target=look, name="resident")
    watcher.start()
    try:
        yield peaks
    finally:
        ended.set()
        watcher.join()


def _largest(fleet: Fleet) -> int:
    """Resident bytes of the largest process of the fleet, children included."""
    roots = set(fleet.processes().values())
    resident: dict[int, int] = {}
    parents: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            parents[int(entry.name)] = int(
                (entry / "stat").read_text().rsplit(")", 1)[1].split()[1]
            )
            resident[int(entry.name)] = int((entry / "statm").read_text().split()[1]) * _PAGE
        except OSError:
            continue  # It ended meanwhile.
    ours = {pid for pid in resident if pid in roots or parents[pid] in roots}
    return max(resident[pid] for pid in ours)


def _document() -> dict[str, Any]:
    links = (
        ("items", "value", "rows", "items"),
        ("rows", "item", "one", "value"),
        ("one", "value", "rows", "result"),
    )
    return {
        "schemaVersion": 1,
        "name": f"Map over {ITEMS}",
        "type": "dataPipeline",
        "nodes": [
            {"id": "items", "type": "bench.items"},
            {"id": "rows", "type": "control.map"},
            {"id": "one", "type": "bench.pure", "parentId": "rows"},
        ],
        "connections": [
            {
                "id": f"c{at}",
                "source": source,
                "sourcePort": output,
                "target": target,
                "targetPort": into,
            }
            for at, (source, output, target, into) in enumerate(links)
        ],
    }
