"""Every write of security_scan: ask for a scan, and write down what it found."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any

from apps.kit import events
from apps.kit.clock import now
from apps.security_scan import scanner
from apps.security_scan.events import ScanFinished, ScanRequested
from apps.security_scan.models import Finding, Scan
from apps.security_scan.policies import can_request_scan
from apps.tenancy import audit, scope
from apps.tenancy.actors import Actor
from apps.tenancy.policies import require
from apps.workflows.graph import catalogue


def request_scan(
    *,
    actor: Actor,
    subject_type: str,
    subject_id: uuid.UUID,
    digest: str,
    document: Mapping[str, Any],
) -> Scan:
    """Write a PENDING scan of the document; the job follows after commit."""
    require(can_request_scan(actor), "have a workflow scanned")
    with scope.transaction():
        scan = Scan.objects.create(
            subject_type=subject_type, subject_id=subject_id, digest=digest, document=dict(document)
        )
        audit.record(
            actor=actor,
            action="scan.request",
            target=f"SecurityScanResult:{scan.pk}",
            after={"subject": f"{subject_type}:{subject_id}", "digest": digest},
        )
        events.publish(ScanRequested(tenant_id=scope.current_tenant_id(), scan_id=scan.pk))
    return scan


def judge(document: Mapping[str, Any]) -> scanner.Report:
    """Scan inline and write nothing: for a publisher who only asks."""
    return scanner.scan(document, catalogue.INSTALLED)


def run_scan(*, scan_id: uuid.UUID) -> Scan | None:
    """Judge a PENDING scan and record it; None when it is gone. Repeating it changes nothing.

    The scan itself holds no transaction: it may take a second on a large document.
    """
    with scope.transaction():
        scan = Scan.objects.filter(pk=scan_id).first()
    if scan is None or scan.verdict != scanner.Verdict.PENDING:
        return scan
    return record(scan_id=scan_id, report=judge(scan.document))


def record(*, scan_id: uuid.UUID, report: scanner.Report) -> Scan:
    """Give a PENDING scan its verdict and findings; a scan that has one keeps it."""
    with scope.transaction():
        scan = Scan.objects.select_for_update().order_by("pk").get(pk=scan_id)
        if scan.verdict != scanner.Verdict.PENDING:
            return scan
        Finding.objects.bulk_create(
            (_row(scan, position, one) for position, one in enumerate(report.findings)),
            batch_size=500,
        )
        scan.verdict = report.verdict.value
        scan.score = report.score
        scan.scanner_versions = dict(report.scanner_versions)
        scan.finished_at = now()
        scan.save(update_fields=["verdict", "score", "scanner_versions", "finished_at"])
        events.publish(
            ScanFinished(
                tenant_id=scope.current_tenant_id(),
                scan_id=scan.pk,
                subject_type=scan.subject_type,
                subject_id=scan.subject_id,
                verdict=scan.verdict,
            )
        )
    return scan


def _row(scan: Scan, position: int, finding: scanner.Finding) -> Finding:
    return Finding(
        tenant_id=scan.tenant_id,
        scan=scan,
        position=position,
        rule=finding.rule,
        title=finding.title,
        severity=finding.severity.value,
        detail=finding.detail,
        remediation=finding.remediation,
        cwe=finding.cwe or "",
        node_id=finding.node_id or "",
        path=finding.path,
        line=finding.line,
    )
