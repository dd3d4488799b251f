"""Types of scans: the result with its findings, and where a package comes from."""

from __future__ import annotations

import datetime as dt
from enum import Enum

import strawberry
from strawberry.scalars import JSON

from apps.kit.graphql.fields import field
from apps.kit.graphql.scalars import URL, Markdown
from apps.security_scan.scanner import Finding, Severity, Verdict
from apps.security_scan.summaries import Summary

strawberry.enum(Severity, name="RiskLevel", description="How bad something can be.")
strawberry.enum(
    Verdict, name="ScanVerdict", description="PENDING until the scan has run; FAILED blocks."
)


@strawberry.type(description="One problem; never shows the secret it found.")
class SecurityFinding:
    """A finding with where it stands and how to mend it."""

    id: strawberry.ID
    rule: str
    title: str
    severity: Severity
    detail: Markdown
    node_id: str | None
    path: str | None
    line: int | None
    cwe: str | None
    remediation: Markdown | None
    suppressed: bool = False
    suppression_reason: str | None = None

    @classmethod
    def of(cls, finding: Finding, *, scan_id: str, position: int) -> SecurityFinding:
        """A finding by its place in a scan."""
        return cls(
            id=strawberry.ID(f"{scan_id}:{position}"),
            rule=finding.rule,
            title=finding.title,
            severity=finding.severity,
            detail=Markdown(finding.detail),
            node_id=finding.node_id,
            path=finding.path or None,
            line=finding.line,
            cwe=finding.cwe,
            remediation=Markdown(finding.remediation),
        )


@strawberry.type(description="How many findings there are of each severity.")
class FindingCounts:
    """Counts."""

    low: int
    medium: int
    high: int
    critical: int


@strawberry.enum(description="How a package is signed.")
class SignatureScheme(Enum):
    """The schemes that are understood."""

    ED25519 = "ED25519"
    SIGSTORE = "SIGSTORE"


@strawberry.type(description="A signature over a package's digest.")
class SignatureInfo:
    """Who signed, with which key, and whether it holds."""

    scheme: SignatureScheme
    key_id: str
    signer: str
    verified: bool
    signed_at: dt.datetime


@strawberry.type(description="Where a package comes from.")
class Provenance:
    """Digest, and what the publisher says of the source."""

    digest: str
    signature: SignatureInfo | None = None
    source_repository: URL | None = None
    source_commit: str | None = None
    builder: str | None = None
    transparency_log_url: URL | None = None


@strawberry.type(description="What the security scan of a document said.")
class SecurityScanResult:
    """Verdict, score (0 to 100) and findings, the worst first."""

    id: strawberry.ID
    verdict: Verdict
    score: int
    scanned_at: dt.datetime | None
    scanner_versions: JSON
    provenance: Provenance
    is_stale: bool
    summary: strawberry.Private[Summary]
    sbom_url: URL | None = None

    @field()
    def findings(self, min_severity: Severity | None = Severity.LOW) -> list[SecurityFinding]:
        """The findings of at least this severity."""
        return [
            SecurityFinding.of(one, scan_id=str(self.id), position=position)
            for position, one in enumerate(self.summary.findings)
            if one.severity.rank >= (min_severity or Severity.LOW).rank
        ]

    @field()
    def counts(self) -> FindingCounts:
        """How many findings of each severity."""
        counts = self.summary.counts
        return FindingCounts(
            low=counts.low, medium=counts.medium, high=counts.high, critical=counts.critical
        )

    @classmethod
    def of(cls, summary: Summary, *, provenance: Provenance) -> SecurityScanResult:
        """The result behind a summary."""
        return cls(
            id=strawberry.ID(summary.scan_id or provenance.digest),
            verdict=summary.verdict,
            score=summary.score,
            scanned_at=summary.scanned_at,
            scanner_versions=JSON(dict(summary.scanner_versions)),
            provenance=provenance,
            is_stale=summary.is_stale,
            summary=summary,
        )
