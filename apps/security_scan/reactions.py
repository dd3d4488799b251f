"""What security_scan does when it has spoken itself: enqueue the scan once it is committed."""

from __future__ import annotations

import logging

from django.db import transaction
from redis.exceptions import RedisError

from apps.kit.events import on
from apps.security_scan import jobs
from apps.security_scan.events import ScanRequested

_log = logging.getLogger(__name__)


@on(ScanRequested)
def enqueue_scan(event: ScanRequested) -> None:
    """The row is the truth: without Redis the sweeper rings later, the request goes through."""

    def ring() -> None:
        try:
            jobs.enqueue(event.tenant_id, event.scan_id)
        except RedisError:
            _log.warning("Scan %s waits for the sweeper: the queue is away", event.scan_id)

    transaction.on_commit(ring)
