"""The django-rq jobs of security_scan: run one scan, and find the scans whose job was lost."""

from __future__ import annotations

import datetime as dt
import uuid

import django_rq
from rq import Retry

from apps.kit.clock import now
from apps.security_scan import actions
from apps.security_scan.models import Scan
from apps.tenancy import periodic, scope
from apps.tenancy.actors import Actor

LOST_AFTER = dt.timedelta(minutes=2)
SWEPT_AT_ONCE = 100
TIMEOUT_SECONDS = 120


def enqueue(tenant_id: uuid.UUID, scan_id: uuid.UUID) -> None:
    """Ring the worker; the scan's id is the job's, so a second ring is the same job."""
    django_rq.get_queue("default").enqueue(
        run_scan,
        str(tenant_id),
        str(scan_id),
        job_id=f"scan-{scan_id}",
        job_timeout=TIMEOUT_SECONDS,
        retry=Retry(max=3, interval=[1, 5, 30]),
        result_ttl=0,
        failure_ttl=3600,
    )


def run_scan(tenant_id: str, scan_id: str) -> None:
    """Judge one scan in its organization's scope."""
    tenant = uuid.UUID(tenant_id)
    actor = Actor.system(tenant, "security scan")
    with scope.enter(scope.Scope(tenant_id=tenant, actor=actor)):
        actions.run_scan(scan_id=uuid.UUID(scan_id))


@periodic.every(dt.timedelta(minutes=1))
def sweep_lost_scans() -> None:
    """Ring again for scans that wait too long: Redis may have forgotten them."""
    with scope.platform(actor=Actor.system(None, "security scan")):
        lost = list(
            Scan.objects.waiting_since(now() - LOST_AFTER)
            .order_by("requested_at")
            .values_list("tenant_id", "pk")[:SWEPT_AT_ONCE]
        )
    for tenant_id, scan_id in lost:
        enqueue(tenant_id, scan_id)
