"""Why something that could run does not run yet, in a sentence a tenant can act on."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from django.db import connection

from apps.executions.engine.plan import QUARANTINE_POOL
from apps.executions.engine.seeds import top_of


class Cause(StrEnum):
    """The API's names."""

    WORKFLOW_CONCURRENCY = "WORKFLOW_CONCURRENCY"
    WORKFLOW_RATE = "WORKFLOW_RATE"
    CONCURRENCY_KEY = "CONCURRENCY_KEY"
    TENANT_CEILING = "TENANT_CEILING"
    TENANT_RATE = "TENANT_RATE"
    NO_WORKER = "NO_WORKER"
    QUARANTINE = "QUARANTINE"
    IN_LINE = "IN_LINE"


@dataclass(frozen=True, kw_only=True, slots=True)
class Reason:
    """Why, and what would change it."""

    cause: Cause
    message: str


Key = tuple[uuid.UUID, str]
"""A run and a step's path; the empty path is the run itself."""

_HELD: Final = """
    SELECT r.id, g.max_runs, g.per_minute,
           (SELECT count(*) FROM run o WHERE o.tenant_id = r.tenant_id
              AND o.workflow_id = r.workflow_id AND o.gated AND o.held_key IS NULL
              AND o.finished_at IS NULL)
      FROM run r JOIN workflow_gate g
        ON g.tenant_id = r.tenant_id AND g.workflow_id = r.workflow_id
     WHERE r.id = ANY (%s) AND r.held_key IS NOT NULL AND r.finished_at IS NULL
"""
_READY: Final = """
    SELECT w.run_id, w.path, w.pool, w.crashes,
           EXISTS (SELECT FROM worker k WHERE w.pool = ANY (k.pools) AND NOT k.draining
                     AND k.lease_until > clock_timestamp()),
           l.max_inflight, l.max_runs, l.rate_per_s,
           l.rate_per_s IS NOT NULL AND l.blocked_until > clock_timestamp(), u.slots, u.runs
      FROM work_item w
      LEFT JOIN lane l ON l.tenant_id = w.tenant_id AND l.pool = w.pool,
           LATERAL (SELECT coalesce(sum(x.granted), 0) AS slots,
                           count(*) FILTER (WHERE x.kind = 'run') AS runs FROM work_item x
                     WHERE x.tenant_id = w.tenant_id AND x.worker_id IS NOT NULL) u
     WHERE w.run_id = ANY (%s) AND w.worker_id IS NULL AND w.pool NOT LIKE 'asleep/%%'
"""
# Whoever waits for a key looks every few seconds.
_KEYED: Final = """
    SELECT run_id, path, most FROM key_wait
     WHERE run_id = ANY (%s) AND at > clock_timestamp() - interval '15 seconds'
     ORDER BY path LIMIT 1000
"""
_AT_WORK: Final = """
    SELECT DISTINCT run_id FROM work_item WHERE run_id = ANY (%s) AND worker_id IS NOT NULL
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Waiting:
    """A ready item, its lane, and what its tenant has in hand."""

    pool: str
    crashes: int
    is_served: bool
    max_slots: int | None
    max_runs: int | None
    rate: float | None
    is_braked: bool
    slots: int
    runs: int
    is_run: bool


def reasons(run_ids: Iterable[uuid.UUID]) -> dict[Key, Reason]:
    """What of these runs waits for its turn, and why; in the tenant's scope.

    A run that nobody works on waits because its first step that does.
    """
    wanted = list(run_ids)
    found: dict[Key, Reason] = {}
    with connection.cursor() as cursor:
        cursor.execute(_READY, [wanted])
        for run_id, path, *facts in cursor.fetchall():
            names = ("pool", "crashes", "is_served", "max_slots", "max_runs", "rate", "is_braked")
            given = dict(zip((*names, "slots", "runs"), facts, strict=True))
            found[run_id, path] = of_item(Waiting(**given, is_run=not path))
        cursor.execute(_HELD, [wanted])
        for run_id, max_runs, per_minute, going in cursor.fetchall():
            found[run_id, ""] = of_gate(max_runs=max_runs, per_minute=per_minute, going=going)
        cursor.execute(_KEYED, [wanted])
        for run_id, path, most in cursor.fetchall():
            # What waits inside a map is told of the map as well.
            for place in (path, top_of(path)):
                found.setdefault((run_id, place), of_key(most))
        steps = {run_id: (path, found[run_id, path]) for run_id, path in reversed(found) if path}
        at_work: set[uuid.UUID] = set()
        if steps:
            cursor.execute(_AT_WORK, [list(steps)])
            at_work = {run_id for (run_id,) in cursor.fetchall()}
    for run_id, (path, reason) in steps.items():
        if run_id not in at_work:
            message = f"The step {path} waits. {reason.message}"
            found.setdefault((run_id, ""), Reason(cause=reason.cause, message=message))
    return found


def of_key(most: int) -> Reason:
    """Of a step that found no place behind its key's gate."""
    places = "The only place" if most == 1 else f"All {most} places"
    verb = "is" if most == 1 else "are"
    message = (
        f"{places} for its key (concurrency.limit) {verb} taken: it begins when a step that has"
        " one ends."
    )
    return Reason(cause=Cause.CONCURRENCY_KEY, message=message)


def of_gate(*, max_runs: int | None, per_minute: float | None, going: int) -> Reason:
    """Of a run that its workflow holds back."""
    if max_runs is not None and going >= max_runs:
        runs = f"{going} run{'s' * (going != 1)} of this workflow {'is' if going == 1 else 'are'}"
        message = f"{runs} in progress, as many as limits.maxRuns allows."
        return Reason(cause=Cause.WORKFLOW_CONCURRENCY, message=message)
    pace = f"{per_minute:g} a minute" if per_minute is not None else "one after the other"
    message = f"Runs of this workflow begin {pace} (limits.startsPerMinute); others are first."
    return Reason(cause=Cause.WORKFLOW_RATE, message=message)


def of_item(waiting: Waiting) -> Reason:
    """Of a ready item: the first thing that stands in its way."""
    pool = waiting.pool
    if not waiting.is_served:
        message = (
            f"No worker serves the pool “{pool}”: start one with NSTARX_WORKER_POOLS={pool}, or "
            "choose another pool in the node's resources."
        )
        return Reason(cause=Cause.NO_WORKER, message=message)
    if pool == QUARANTINE_POOL:
        message = (
            f"Workers died with it {waiting.crashes} times; it is tried again alone, in quarantine."
        )
        return Reason(cause=Cause.QUARANTINE, message=message)
    if waiting.max_slots is not None and waiting.slots >= waiting.max_slots:
        message = f"All {waiting.max_slots} steps at once that the plan allows are running."
        return Reason(cause=Cause.TENANT_CEILING, message=message)
    if waiting.is_run and waiting.max_runs is not None and waiting.runs >= waiting.max_runs:
        message = f"All {waiting.max_runs} runs at once that the plan allows are running."
        return Reason(cause=Cause.TENANT_CEILING, message=message)
    if waiting.is_braked:
        message = f"An operator lets {waiting.rate:g} a second begin for this organization."
        return Reason(cause=Cause.TENANT_RATE, message=message)
    return Reason(cause=Cause.IN_LINE, message="It is in line for a free worker.")
