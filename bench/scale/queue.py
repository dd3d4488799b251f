"""Steps per second while ever more runs are queued."""

from __future__ import annotations

import json
import os
import time
import uuid
from typing import Final

import psycopg

from apps.executions import standing
from apps.executions.actions.orders import order
from apps.executions.models import TriggerKind
from apps.kit.ids import uuid7
from apps.tenancy.models import EnvironmentKind
from apps.tenancy.scope import Scope, enter
from bench.documents import SHORT, chain
from bench.house import House
from bench.product import Product
from bench.progress import note
from bench.scale.table import Series

DEPTHS: Final = tuple(
    int(depth) for depth in os.environ.get("BENCH_DEPTHS", "1000 10000 100000").split()
)
SKIPPED: Final = 0.2
MEASURED: Final = 0.9
"""Shares of the smallest depth: from the run that ends after the one to that after the other."""
AT_ONCE: Final = 250
PATIENCE_SECONDS: Final = 120.0
_START: Final = "SELECT executions_start_5(%s, %s, %s::jsonb, %s::jsonb, %s, %s, %s)"
_ENDED: Final = "SELECT count(*) FROM run WHERE finished_at IS NOT NULL"
_WINDOW: Final = """
SELECT extract(epoch FROM (array_agg(finished_at ORDER BY finished_at))[%(last)s]
                        - (array_agg(finished_at ORDER BY finished_at))[%(first)s])::float8
  FROM run WHERE finished_at IS NOT NULL
"""
_EMPTY: Final = "TRUNCATE run, run_event, work_item, timer, outbox, run_inbox"


def measure(house: House, product: Product, *, repetitions: int) -> Series:
    """The same window of finished runs at each depth; workers come when the queue is full."""
    workflow = product.deploy(chain("keyed", steps=SHORT))
    product.start(workflow)  # Now the process knows what a start takes.
    taken: dict[int, list[float]] = {depth: [] for depth in DEPTHS}
    for repetition in range(repetitions):
        for depth in DEPTHS:
            note(f"queue {repetition + 1}/{repetitions}: {depth:,} runs")
            _empty(house)
            _fill(house, product, workflow, depth)
            taken[depth].append(_drain(house, product) * 1000 / SHORT)
    _empty(house)
    return Series(key="queue", title="Runs queued (keyed steps, 5 a run)", sizes=taken)


def _empty(house: House) -> None:
    with psycopg.connect(house.owner_url, autocommit=True) as connection:
        connection.execute(_EMPTY)
        connection.execute("UPDATE lane SET has_ready = false")


def _fill(house: House, product: Product, workflow: uuid.UUID, depth: int) -> None:
    """By the function every start ends with; its commits in groups."""
    with enter(Scope(tenant_id=product.tenant_id, actor=product.actor)):
        seen = standing.known(workflow, EnvironmentKind.PRODUCTION)
        if seen is None:
            raise RuntimeError("the first start left nothing behind")
        ready = order(seen, actor=product.actor, trigger=TriggerKind.API, given={})
    facts, event = json.dumps(ready.facts), json.dumps(ready.event)
    ceilings = seen.ceilings
    most = ceilings.steps, ceilings.runs, ceilings.weight
    with psycopg.connect(house.app_url) as connection, connection.cursor() as cursor:
        for at in range(0, depth, AT_ONCE):
            count = min(AT_ONCE, depth - at)
            cursor.executemany(
                _START, [(product.tenant_id, uuid7(), facts, event, *most) for _ in range(count)]
            )
            connection.commit()
    with psycopg.connect(house.owner_url, autocommit=True) as connection:
        connection.execute("ANALYZE run, work_item")


def _drain(house: House, product: Product) -> float:
    """Seconds per run within the window."""
    first, last = (round(min(DEPTHS) * share) for share in (SKIPPED, MEASURED))
    given = {"first": first, "last": last}
    options = f"-c app.tenant={product.tenant_id}"
    with (
        psycopg.connect(house.app_url, autocommit=True, options=options) as connection,
        house.staffed(),
    ):
        until = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < until:
            row = connection.execute(_ENDED).fetchone()
            if row is not None and row[0] >= last:
                window = connection.execute(_WINDOW, given).fetchone()
                if window is not None:
                    return float(window[0]) / (last - first)
            time.sleep(0.2)
    raise TimeoutError("the queue was not worked off: are the workers alive?")
