"""What security_scan says aloud: a scan was asked for, a scan has a verdict."""

from __future__ import annotations

import uuid
from dataclasses import dataclass

from apps.kit.events import Event


@dataclass(frozen=True, kw_only=True)
class ScanRequested(Event):
    """A scan row was written and waits for the job."""

    tenant_id: uuid.UUID
    scan_id: uuid.UUID


@dataclass(frozen=True, kw_only=True)
class ScanFinished(Event):
    """A scan has its verdict: PASSED, WARNINGS or FAILED. The findings are in its rows."""

    tenant_id: uuid.UUID
    scan_id: uuid.UUID
    subject_type: str
    subject_id: uuid.UUID
    verdict: str
