"""A scan's outcome as a value that others may keep beside what was scanned."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from apps.security_scan import models
from apps.security_scan.scanner import (
    Counts,
    Finding,
    Report,
    Severity,
    Verdict,
    scanner_versions,
)


@dataclass(frozen=True, kw_only=True)
class Summary:
    """What a scan said. `scan_id` is None for a report that was never written down."""

    verdict: Verdict
    score: int = 0
    findings: tuple[Finding, ...] = ()
    scan_id: str | None = None
    scanned_at: dt.datetime | None = None
    scanner_versions: Mapping[str, str] = field(default_factory=dict)

    @property
    def counts(self) -> Counts:
        """How many findings of each severity."""
        return Counts.of(self.findings)

    @property
    def is_stale(self) -> bool:
        """Whether the rules have changed since: the document deserves another scan."""
        return self.verdict is not Verdict.PENDING and (
            dict(self.scanner_versions) != scanner_versions()
        )

    def to_json(self) -> dict[str, Any]:
        """As a release keeps it."""
        return {
            "scanId": self.scan_id,
            "verdict": self.verdict.value,
            "score": self.score,
            "scannedAt": self.scanned_at.isoformat() if self.scanned_at else None,
            "scannerVersions": dict(self.scanner_versions),
            "findings": [_finding_to_json(one) for one in self.findings],
        }

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Summary:
        """Read what `to_json` wrote; of nothing, a scan that has not begun."""
        scanned_at = stored.get("scannedAt")
        return cls(
            verdict=Verdict(stored.get("verdict", Verdict.PENDING)),
            score=stored.get("score", 0),
            findings=tuple(_finding_from_json(one) for one in stored.get("findings", [])),
            scan_id=stored.get("scanId"),
            scanned_at=dt.datetime.fromisoformat(scanned_at) if scanned_at else None,
            scanner_versions=stored.get("scannerVersions", {}),
        )

    @classmethod
    def of_scan(cls, scan: models.Scan) -> Summary:
        """The outcome of a scan that is written down, its findings read with one query."""
        return cls(
            verdict=Verdict(scan.verdict),
            score=scan.score,
            findings=tuple(_finding_of(row) for row in models.Finding.objects.filter(scan=scan)),
            scan_id=str(scan.pk),
            scanned_at=scan.finished_at,
            scanner_versions=scan.scanner_versions,
        )

    @classmethod
    def of_report(cls, report: Report, *, at: dt.datetime) -> Summary:
        """The outcome of a scan that was only asked for."""
        return cls(
            verdict=report.verdict,
            score=report.score,
            findings=report.findings,
            scanned_at=at,
            scanner_versions=report.scanner_versions,
        )


def _finding_of(row: models.Finding) -> Finding:
    return Finding(
        rule=row.rule,
        title=row.title,
        severity=Severity(row.severity),
        detail=row.detail,
        remediation=row.remediation,
        cwe=row.cwe or None,
        node_id=row.node_id or None,
        path=row.path,
        line=row.line,
    )


def _finding_to_json(finding: Finding) -> dict[str, Any]:
    return {
        "rule": finding.rule,
        "title": finding.title,
        "severity": finding.severity.value,
        "detail": finding.detail,
        "remediation": finding.remediation,
        "cwe": finding.cwe,
        "nodeId": finding.node_id,
        "path": finding.path,
        "line": finding.line,
    }


def _finding_from_json(stored: Mapping[str, Any]) -> Finding:
    return Finding(
        rule=stored["rule"],
        title=stored["title"],
        severity=Severity(stored["severity"]),
        detail=stored["detail"],
        remediation=stored["remediation"],
        cwe=stored["cwe"],
        node_id=stored["nodeId"],
        path=stored["path"],
        line=stored["line"],
    )
