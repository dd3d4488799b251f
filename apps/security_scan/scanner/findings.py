"""What a scan says: findings with a severity, and the verdict and score that follow from them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import assert_never


class Severity(StrEnum):
    """How bad a finding is; HIGH and CRITICAL block publication."""

    LOW = "LOW"
    MEDIUM = "MEDIUM"
    HIGH = "HIGH"
    CRITICAL = "CRITICAL"

    @property
    def rank(self) -> int:
        """0 for LOW to 3 for CRITICAL."""
        return _RANK[self]

    @property
    def blocks(self) -> bool:
        """Whether one such finding refuses the document."""
        return self in {Severity.HIGH, Severity.CRITICAL}


_RANK = {Severity.LOW: 0, Severity.MEDIUM: 1, Severity.HIGH: 2, Severity.CRITICAL: 3}


class Verdict(StrEnum):
    """The answer of a scan; PENDING until the job has run."""

    PENDING = "PENDING"
    FAILED = "FAILED"
    WARNINGS = "WARNINGS"
    PASSED = "PASSED"


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One problem at one place; no field ever holds the text of a secret."""

    rule: str
    title: str
    severity: Severity
    detail: str
    remediation: str
    cwe: str | None = None
    node_id: str | None = None
    path: str = ""
    line: int | None = None

    @property
    def sort_key(self) -> tuple[int, str, str, int, str]:
        """Worst first, then by place."""
        return (-self.severity.rank, self.node_id or "", self.path, self.line or 0, self.rule)


@dataclass(frozen=True, kw_only=True)
class Counts:
    """How many findings there are of each severity."""

    low: int = 0
    medium: int = 0
    high: int = 0
    critical: int = 0

    @classmethod
    def of(cls, findings: Iterable[Finding]) -> Counts:
        """Count them."""
        tally = dict.fromkeys(Severity, 0)
        for finding in findings:
            tally[finding.severity] += 1
        return cls(
            low=tally[Severity.LOW],
            medium=tally[Severity.MEDIUM],
            high=tally[Severity.HIGH],
            critical=tally[Severity.CRITICAL],
        )


@dataclass(frozen=True, kw_only=True)
class Report:
    """The outcome of scanning one document, worst finding first."""

    verdict: Verdict
    score: int
    findings: tuple[Finding, ...]
    scanner_versions: Mapping[str, str] = field(default_factory=dict)

    @property
    def counts(self) -> Counts:
        """How many of each severity."""
        return Counts.of(self.findings)

    @property
    def blocking(self) -> tuple[Finding, ...]:
        """The findings that refuse the document."""
        return tuple(finding for finding in self.findings if finding.severity.blocks)


def judge(findings: Iterable[Finding], *, scanner_versions: Mapping[str, str]) -> Report:
    """Fold findings into a report: duplicates removed, sorted, with verdict and score."""
    kept = tuple(sorted(_worst_of_each_place(findings), key=lambda one: one.sort_key))
    return Report(
        verdict=verdict_of(kept),
        score=score_of(kept),
        findings=kept,
        scanner_versions=dict(scanner_versions),
    )


def verdict_of(findings: Iterable[Finding]) -> Verdict:
    """FAILED on anything that blocks, WARNINGS on anything a person should read, else PASSED."""
    worst = max((finding.severity.rank for finding in findings), default=-1)
    if worst >= Severity.HIGH.rank:
        return Verdict.FAILED
    return Verdict.WARNINGS if worst >= Severity.MEDIUM.rank else Verdict.PASSED


def score_of(findings: Iterable[Finding]) -> int:
    """100 for a clean document, less for each finding, never under 0."""
    return max(0, 100 - sum(_weight(finding.severity) for finding in findings))


def _weight(severity: Severity) -> int:
    match severity:
        case Severity.LOW:
            return 2
        case Severity.MEDIUM:
            return 10
        case Severity.HIGH:
            return 30
        case Severity.CRITICAL:
            return 50
        case _:
            assert_never(severity)


def _worst_of_each_place(findings: Iterable[Finding]) -> Iterable[Finding]:
    worst: dict[tuple[str, str | None, str, int | None], Finding] = {}
    for finding in findings:
        place = (finding.rule, finding.node_id, finding.path, finding.line)
        known = worst.get(place)
        if known is None or known.severity.rank < finding.severity.rank:
            worst[place] = finding
    return worst.values()
