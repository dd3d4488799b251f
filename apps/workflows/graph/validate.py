"""Everything that can be said about a document without running it: one pure validator for all."""

from itertools import islice

from apps.workflows.graph.catalogue import Catalogue
from apps.workflows.graph.document import MAX_ISSUES, parse
from apps.workflows.graph.issues import DocumentInvalid, Issue, Report, Severity, Status
from apps.workflows.graph.normal import normalize
from apps.workflows.graph.rules import (
    configuration,
    identity,
    joins,
    levels,
    own_ports,
    recovery,
    references,
    settings,
    wiring,
)
from apps.workflows.graph.rules.drawing import Drawing
from apps.workflows.graph.shape import Document

__all__ = ["Issue", "Report", "Severity", "Status", "read_and_validate", "require", "validate"]

RULES = (
    identity,
    levels,
    recovery,
    wiring,
    own_ports,
    configuration,
    references,
    settings,
    joins,
)


def validate(document: Document, catalogue: Catalogue) -> Report:
    """Hold a document against every rule; errors first. Never raises, linear in the document."""
    drawing = Drawing.of(document, catalogue)
    issues = [issue for rule in RULES for issue in islice(rule.check(drawing), MAX_ISSUES)]
    issues.sort(key=lambda issue: list(Severity).index(issue.severity))
    return Report(tuple(issues[:MAX_ISSUES]))


def read_and_validate(raw: object, catalogue: Catalogue) -> tuple[Document | None, Report]:
    """Whatever came from outside, in normal form, with its report; no document if unreadable."""
    try:
        document = normalize(parse(raw), catalogue)
    except DocumentInvalid as invalid:
        return None, Report(invalid.issues)
    return document, validate(document, catalogue)


def require(document: Document, catalogue: Catalogue) -> Report:
    """The report of a document that may run; raises DocumentInvalid with the errors of another."""
    report = validate(document, catalogue)
    if report.errors:
        raise DocumentInvalid(report.errors)
    return report
