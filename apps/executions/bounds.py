"""What is asked of a tenant and of a workflow before another of their runs is queued."""

from __future__ import annotations

import math
import uuid
from typing import Final

from django.db import connection

from apps.kit.errors import QuotaExceeded
from apps.tenancy import scope
from apps.tenancy.limits import Metric
from apps.workflows.graph.document import Document

QUEUE_RETRY_SECONDS: Final = 10
"""When to come back to a full queue: nobody knows how long its runs take."""
MEASURED: Final = 20

# Whether the queue is full, and until when there were too many starts: nobody counts further. Items
# of maps are parts of a run that was counted. Ids are UUIDv7: the newest run has the greatest, and
# its instant stands in front. An index can be asked by the statement's time, not by the clock's.
_ROOM: Final = """
    SELECT EXISTS (SELECT FROM run WHERE tenant_id = %(tenant)s AND finished_at IS NULL
                    AND (parent_kind IS NULL OR parent_kind <> 'ITEM') OFFSET %(queue)s),
           (SELECT 60 - extract(epoch FROM clock_timestamp() - created_at) FROM run
             WHERE tenant_id = %(tenant)s
               AND id >= engine_uuid_floor_1(statement_timestamp() - interval '1 minute')
               AND (parent_kind IS NULL OR parent_kind <> 'ITEM')
             ORDER BY id DESC OFFSET %(starts)s LIMIT 1)
"""
_TAKEN: Final = """
    SELECT percentile_disc(0.95) WITHIN GROUP (ORDER BY seconds) FROM (
      SELECT extract(epoch FROM finished_at - started_at)::float8 AS seconds FROM run
       WHERE tenant_id = %s AND workflow_id = %s AND finished_at IS NOT NULL
         AND started_at IS NOT NULL AND (parent_kind IS NULL OR parent_kind <> 'ITEM')
       ORDER BY id DESC LIMIT %s) AS latest
"""


def of(document: Document) -> dict[str, float] | None:
    """The workflow's own bounds as the start function takes them; None without any."""
    limits = document.configuration.limits
    if limits.max_runs is None and limits.starts_per_minute is None:
        return None
    given = {
        "maxRuns": limits.max_runs,
        "startsPerMinute": limits.starts_per_minute,
        "burst": limits.burst,
    }
    return {name: value for name, value in given.items() if value is not None}


def due_seconds(document: Document, workflow_id: uuid.UUID) -> float | None:
    """From now until a run must begin to keep the document's promise; None where none is made.

    What runs of the workflow take is learnt from its last ones; negative when they take longer.
    """
    promised = document.configuration.sla.max_duration_seconds
    if promised is None:
        return None
    with connection.cursor() as cursor:
        cursor.execute(_TAKEN, [scope.current_tenant_id(), workflow_id, MEASURED])
        row = cursor.fetchone()
    return promised - (row[0] or 0.0 if row else 0.0)


def require_room(*, queue: int, starts: int) -> None:
    """Raises QuotaExceeded, with the time to come back, for a full queue or too many starts."""
    given: dict[str, str | int] = {
        "tenant": str(scope.current_tenant_id()),
        "queue": max(queue - 1, 0),
        "starts": max(starts - 1, 0),
    }
    with connection.cursor() as cursor:
        cursor.execute(_ROOM, given)
        row = cursor.fetchone()
    is_full, wait = row or (False, None)
    if is_full or queue <= 0:
        raise _exceeded(Metric.QUEUED_RUNS, queue, QUEUE_RETRY_SECONDS)
    if wait is not None or starts <= 0:
        raise _exceeded(Metric.STARTS_PER_MINUTE, starts, max(1, math.ceil(wait or 60)))


def _exceeded(metric: Metric, limit: int, seconds: int) -> QuotaExceeded:
    return QuotaExceeded(metric=metric, limit=limit, used=limit, retry_after_seconds=seconds)
