"""Validation as the API shows it."""

from __future__ import annotations

import strawberry
from strawberry.scalars import JSON

from apps.workflows.graph.issues import Issue, Report, Severity, Status

strawberry.enum(Severity, name="IssueSeverity")
strawberry.enum(Status, name="ValidationStatus")


@strawberry.type
class ValidationIssue:
    """One problem; `fix` is a JSON Patch of the document where there is one."""

    severity: Severity
    code: str
    message: str
    node_id: str | None
    connection_id: str | None
    path: list[str] | None
    fix: JSON | None

    @classmethod
    def of(cls, issue: Issue) -> ValidationIssue:
        """The issue as this type."""
        return cls(
            severity=issue.severity,
            code=issue.code,
            message=issue.message,
            node_id=issue.node_id,
            connection_id=issue.connection_id,
            path=list(issue.path),
            fix=JSON([dict(operation) for operation in issue.fix]) if issue.fix else None,
        )


@strawberry.type
class ValidationReport:
    """Everything known about a document without running it, errors first."""

    status: Status
    issues: list[ValidationIssue]

    @classmethod
    def of(cls, report: Report) -> ValidationReport:
        """The report as this type."""
        shown = [ValidationIssue.of(issue) for issue in report.issues]
        return cls(status=report.status, issues=shown)
