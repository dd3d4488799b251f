"""What the retries of a workflow's runs share in this process."""

from __future__ import annotations

import datetime as dt
import threading
from collections import OrderedDict
from typing import Final
from uuid import UUID

from apps.executions.engine.retry_budget import TokenBucket
from apps.executions.engine.slice_ports import Claim

KEPT: Final = 1_000
"""Workflows of one process; one that comes back after so many others begins anew."""


class WorkflowThrottle:
    """One workflow's bucket, for slices on any thread."""

    def __init__(self, now: dt.datetime) -> None:
        self._bucket = TokenBucket(filled_at=now)
        self._lock = threading.Lock()

    def take(self, now: dt.datetime) -> bool:
        """One more retry; False when none is left."""
        with self._lock:
            return self._bucket.take(now)

    def earn(self, attempts: int) -> None:
        """So many attempts have ended."""
        with self._lock:
            self._bucket.earn(attempts)


class Throttles:
    """By workflow; the least recently used go when there are too many."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: OrderedDict[tuple[UUID, UUID], WorkflowThrottle] = OrderedDict()

    def of(self, claim: Claim, *, now: dt.datetime) -> WorkflowThrottle:
        """The throttle of a claimed run's workflow."""
        key = claim.tenant_id, claim.workflow_id
        with self._lock:
            found = self._kept.get(key)
            if found is None:
                found = self._kept[key] = WorkflowThrottle(now)
                if len(self._kept) > KEPT:
                    self._kept.popitem(last=False)
            else:
                self._kept.move_to_end(key)
            return found
