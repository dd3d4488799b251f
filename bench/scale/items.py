"""Maps over very many items: their speed, what workers hold meanwhile, what history grows by."""

from __future__ import annotations

import os
import threading
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import psycopg

from bench.house import House
from bench.meter import tree_seconds
from bench.product import Product
from bench.progress import note
from bench.scale.mapped import Mapped
from config.supervisor.fleet import Fleet

ITEMS: Final = int(os.environ.get("BENCH_ITEMS", "100000"))
WARM: Final = 200
KINDS: Final = ("pure", "keyed", "unsafe", "parks")
"""Of the body's step; where it parks each item is a run of its own."""
AT_ONCE: Final = 32
LOOK_SECONDS: Final = 0.05
FOLLOW_SECONDS: Final = 0.5
_PAGE: Final = os.sysconf("SC_PAGE_SIZE")
_FACTS: Final = """
SELECT count(*), count(*) FILTER (WHERE type = 'chunk.completed')
  FROM run_event WHERE run_id = %(run)s
"""
PATIENCE_SECONDS: Final = 3_600.0
WARMING: Final = 0.05
"""The share of the items that no figure of CPU counts."""
_DONE: Final = "SELECT coalesce(sum(done), 0) FROM map_chunk WHERE run_id = %(run)s"
_UPDATES: Final = "SELECT n_tup_upd FROM pg_stat_user_tables WHERE relname = 'run'"


def measure(house: House, product: Product, fleet: Fleet) -> list[Mapped]:
    """Each kind of body in turn, by workers that have run a small map before."""
    found = []
    for kind in os.environ.get("BENCH_BODIES", "").split() or KINDS:
        small = product.deploy(_document(kind, list(range(WARM))))
        for _ in range(2):
            product.watch.until_done(product.start(small), look=LOOK_SECONDS)
        note(f"map over {ITEMS:,} items, {kind}")
        found.append(_measured(house, product, fleet, kind))
    return found


def _measured(house: House, product: Product, fleet: Fleet, kind: str) -> Mapped:
    workflow = product.deploy(_document(kind, None))
    idle = _largest(fleet)
    # Row security binds the owner, too: history is read as the tenant's.
    options = f"-c app.tenant={product.tenant_id}"
    with (
        psycopg.connect(house.owner_url, autocommit=True, options=options) as connection,
        _watched(fleet) as peaks,
    ):
        before = _number(connection, _UPDATES)
        began = time.perf_counter()
        run_id = product.start(workflow)
        roots = [*fleet.processes().values(), *house.server_pids()]
        with _followed(house.owner_url, options, run_id, roots) as course:
            product.watch.until_done(run_id, look=LOOK_SECONDS, patience=PATIENCE_SECONDS)
            seconds = time.perf_counter() - began
        time.sleep(1.5)  # The counters of sessions that rest are told within a second.
        events, chunks = _facts(connection, run_id)
        updates = _number(connection, _UPDATES) - before
    return Mapped(
        kind=kind,
        items=ITEMS,
        seconds=seconds,
        idle=idle,
        peak=max(peaks),
        events=events,
        chunks=chunks,
        run_updates=updates,
        early_cpu=_cpu(course, WARMING, 0.5),
        late_cpu=_cpu(course, 0.5, 1.0),
    )


def _cpu(course: Sequence[tuple[int, float]], low: float, high: float) -> float:
    """Milliseconds an item between two shares of the items; 0.0 where too few were seen."""
    seen = [one for one in course if low * ITEMS <= one[0] <= high * ITEMS]
    if len(seen) < 2 or seen[-1][0] == seen[0][0]:
        return 0.0
    (first, before), (last, after) = seen[0], seen[-1]
    return (after - before) * 1000 / (last - first)


@contextmanager
def _followed(
    url: str, options: str, run_id: uuid.UUID, roots: Sequence[int]
) -> Iterator[list[tuple[int, float]]]:
    """Items that are through, and the CPU seconds until then, as time goes by."""
    course: list[tuple[int, float]] = []
    ended = threading.Event()

    def follow() -> None:
        with psycopg.connect(url, autocommit=True, options=options) as connection:
            while not ended.wait(FOLLOW_SECONDS):
                row = connection.execute(_DONE, {"run": run_id}).fetchone()
                course.append((int(row[0]) if row else 0, tree_seconds(roots)))

    follower = threading.Thread(target=follow, name="course")
    follower.start()
    try:
        yield course
    finally:
        ended.set()
        follower.join()


def _facts(connection: psycopg.Connection[Any], run_id: uuid.UUID) -> tuple[int, int]:
    row = connection.execute(_FACTS, {"run": run_id}).fetchone()
    if row is None:
        raise RuntimeError("the run left nothing behind")
    return row[0], row[1]


def _number(connection: psycopg.Connection[Any], query: str) -> int:
    row = connection.execute(query.encode()).fetchone()
    return 0 if row is None else int(row[0])


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


def _document(kind: str, given: list[int] | None) -> dict[str, Any]:
    links = (
        *((("items", "value", "rows", "items"),) if given is None else ()),
        ("rows", "item", "one", "value"),
        ("one", "value", "rows", "result"),
    )
    settings: dict[str, Any] = {"max_concurrency": AT_ONCE}
    return {
        "schemaVersion": 1,
        "name": f"Map over {ITEMS if given is None else len(given)}, {kind}",
        "type": "dataPipeline",
        "nodes": [
            *([{"id": "items", "type": "bench.items"}] if given is None else []),
            {
                "id": "rows",
                "type": "control.map",
                "configuration": settings if given is None else {**settings, "items": given},
            },
            {"id": "one", "type": f"bench.{kind}", "parentId": "rows"},
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
