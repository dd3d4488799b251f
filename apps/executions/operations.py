"""What operators see of the engine and tell it; for the engine's role, which sees all tenants."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any, Final

from django.db import connection

from apps.executions import retention

_WORKERS: Final = """
    SELECT id::text, host, pid, array_to_string(pools, ','), array_to_string(labels, ','), abi,
           slots, draining, extract(epoch FROM lease_until - clock_timestamp())::int,
           (SELECT count(*) FROM work_item i WHERE i.worker_id = w.id)
      FROM worker w ORDER BY booted_at LIMIT 200
"""
_POOLS: Final = """
    SELECT p.pool, count(i.id) FILTER (WHERE i.worker_id IS NULL),
           count(i.id) FILTER (WHERE i.worker_id IS NOT NULL),
           coalesce(extract(epoch FROM clock_timestamp()
             - min(i.sort_key) FILTER (WHERE i.worker_id IS NULL))::int, 0),
           (SELECT count(*) FROM worker k WHERE p.pool = ANY (k.pools) AND NOT k.draining
             AND k.lease_until > clock_timestamp())
      FROM (SELECT pool FROM work_item UNION SELECT unnest(pools) FROM worker) p
      LEFT JOIN work_item i ON i.pool = p.pool
     GROUP BY p.pool ORDER BY p.pool
"""
_LANES: Final = """
    SELECT l.tenant_id::text, l.pool, l.weight, l.max_inflight, l.max_runs, l.rate_per_s,
           (SELECT count(*) FROM work_item i WHERE i.tenant_id = l.tenant_id AND i.pool = l.pool
               AND i.worker_id IS NULL) AS ready,
           (SELECT coalesce(sum(i.granted), 0) FROM work_item i WHERE i.tenant_id = l.tenant_id
               AND i.pool = l.pool AND i.worker_id IS NOT NULL),
           coalesce(extract(epoch FROM clock_timestamp() - (SELECT min(i.sort_key)
             FROM work_item i WHERE i.tenant_id = l.tenant_id AND i.pool = l.pool
               AND i.worker_id IS NULL))::int, 0) AS oldest
      FROM lane l WHERE l.has_ready ORDER BY oldest DESC, ready DESC LIMIT 20
"""
_OLDEST: Final = """
    SELECT run_id::text, tenant_id::text, pool, kind, crashes,
           extract(epoch FROM clock_timestamp() - sort_key)::int
      FROM work_item WHERE worker_id IS NULL ORDER BY sort_key LIMIT 5
"""
_REST: Final = """
    SELECT (SELECT count(*) FROM outbox),
           (SELECT coalesce(extract(epoch FROM clock_timestamp() - min(at))::int, 0) FROM outbox),
           (SELECT count(*) FROM timer), (SELECT count(*) FROM lane WHERE has_ready),
           (SELECT count(*) FROM workflow_gate WHERE waiting),
           (SELECT coalesce(extract(epoch FROM max(clock_timestamp() - xact_start))::int, 0)
              FROM pg_stat_activity WHERE backend_xid IS NOT NULL AND datname = current_database())
"""


def status() -> Iterator[str]:
    """The engine in lines: workers, pools, lanes with something ready, what waits longest."""
    for one in _rows(_WORKERS):
        worker_id, host, pid, pools, labels, abi, slots, draining, lease, items = one
        state = "draining" if draining else "claiming"
        named = f" labels={labels}" if labels else ""
        yield (
            f"worker {worker_id} {host}:{pid} pools={pools}{named} abi={abi} slots={slots}"
            f" {state} lease={lease}s items={items}"
        )
    for pool, ready, leased, oldest, workers in _rows(_POOLS):
        serves = f"{workers} workers" if workers else "NO WORKER"
        yield f"pool {pool}: {ready} ready (oldest {oldest}s), {leased} leased, {serves}"
    for tenant, pool, weight, slots, runs, rate, ready, used, oldest in _rows(_LANES):
        brake = f" brake={rate:g}/s" if rate else ""
        yield (
            f"lane {tenant} {pool}: {ready} ready (oldest {oldest}s), {used} of {slots} slots,"
            f" runs<={runs} weight={weight:g}{brake}"
        )
    for run, tenant, pool, kind, crashes, age in _rows(_OLDEST):
        yield f"waits {age}s: {kind} of run {run} tenant {tenant} pool {pool} crashes={crashes}"
    ((due, oldest, timers, lanes, gates, watermark),) = _rows(_REST)
    yield f"outbox: {due} to announce (oldest {oldest}s, oldest open write {watermark}s)"
    yield f"timers: {timers}; lanes with work: {lanes}; workflows that hold runs back: {gates}"
    ahead = retention.months_ahead()
    warning = "" if ahead >= retention.LEAST_AHEAD else " TOO FEW: run `engine partitions`"
    yield f"months ahead: {ahead}{warning}"


def drain(worker: str | None) -> list[str]:
    """Tell one worker, named by the beginning of its id, or all to start nothing more."""
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE worker SET draining = true WHERE NOT draining"
            " AND left(id::text, length(%s)) = %s RETURNING id::text",
            [worker or "", worker or ""],
        )
        return [row[0] for row in cursor.fetchall()]


def brake(tenant: str, *, per_second: float | None, burst: int) -> int:
    """Bound how often a tenant's work is claimed, in every pool; None lets it go."""
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE lane SET rate_per_s = %s, burst = %s, tat = '-infinity', blocked_until = NULL"
            " WHERE tenant_id = %s",
            [per_second, burst, uuid.UUID(tenant)],
        )
        return int(cursor.rowcount)


def _rows(query: str) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(query)
        return list(cursor.fetchall())
