"""What can be wrong with a document: one problem, a report of them, the refusal with them."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class Severity(StrEnum):
    """How much a problem matters: an ERROR never runs."""

    ERROR = "ERROR"
    WARNING = "WARNING"
    INFO = "INFO"


class Status(StrEnum):
    """A report in one word."""

    VALID = "VALID"
    INVALID = "INVALID"
    WARNINGS = "WARNINGS"


Fix = tuple[Mapping[str, Any], ...]
"""JSON Patch (RFC 6902) operations that mend the document."""


@dataclass(frozen=True, kw_only=True)
class Issue:
    """One problem: a stable code for programs, a sentence that says how to mend it for people."""

    code: str
    message: str
    path: tuple[str, ...] = ()
    severity: Severity = Severity.ERROR
    node_id: str | None = None
    connection_id: str | None = None
    fix: Fix = ()


@dataclass(frozen=True)
class Report:
    """All that is known about a document without running it."""

    issues: tuple[Issue, ...] = ()

    @property
    def status(self) -> Status:
        """INVALID with any error, WARNINGS with any warning, else VALID."""
        severities = {issue.severity for issue in self.issues}
        if Severity.ERROR in severities:
            return Status.INVALID
        return Status.WARNINGS if Severity.WARNING in severities else Status.VALID

    @property
    def errors(self) -> tuple[Issue, ...]:
        """The issues that keep the document from running."""
        return tuple(issue for issue in self.issues if issue.severity is Severity.ERROR)


class DocumentInvalid(ValueError):
    """The document cannot be read, or must not run; says everything that is wrong at once."""

    def __init__(self, issues: Iterable[Issue]) -> None:
        self.issues = tuple(issues)
        super().__init__("; ".join(f"{issue.code}: {issue.message}" for issue in self.issues[:3]))
