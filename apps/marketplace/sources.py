"""Where a release's document comes from: a committed version, or a document handed in whole."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from apps.kit.errors import NotFound, Refusal
from apps.tenancy import scope
from apps.versions.models import WorkflowVersion
from apps.workflows.graph import canonical, catalogue
from apps.workflows.graph.callees import callees
from apps.workflows.graph.document import Document, to_json
from apps.workflows.graph.issues import DocumentInvalid, Issue
from apps.workflows.graph.normal import read
from apps.workflows.graph.validate import require, validate
from apps.workflows.invalid import refusing


@dataclass(frozen=True, kw_only=True)
class Source:
    """What the publisher hands in: exactly one of the two."""

    version_id: uuid.UUID | None = None
    document: object = None


@dataclass(frozen=True, kw_only=True)
class Content:
    """A valid document in normal form, its hash, and what a person should know about it."""

    document: Mapping[str, Any]
    content_hash: str
    version_id: uuid.UUID | None
    warnings: tuple[Issue, ...]


def load(source: Source) -> Content:
    """Read and validate. Raises NotFound, or GraphInvalid with every issue; writes nothing."""
    if (source.version_id is None) == (source.document is None):
        raise Refusal("Hand in a version or a document, one of the two.", path=("workflow",))
    raw = source.document if source.version_id is None else _frozen(source.version_id)
    with refusing(path=("workflow", "document")):
        drawn = read(raw, catalogue.INSTALLED)
        require(drawn, catalogue.INSTALLED)
        _require_whole(drawn)
    report = validate(drawn, catalogue.INSTALLED)
    return Content(
        document=to_json(drawn),
        content_hash=canonical.content_hash(drawn),
        version_id=source.version_id,
        warnings=report.issues,
    )


def _require_whole(drawn: Document) -> None:
    """Other workflows of the publisher are not there where a release is installed."""
    issues = tuple(
        Issue(
            code="SUBWORKFLOW_NOT_PORTABLE",
            message=(
                f"The workflow {callee.workflow[:100]} is not part of the release: put its nodes"
                " into this one before you publish."
            ),
            path=callee.path,
            node_id=callee.node_id,
        )
        for callee in callees(drawn)
    )
    if issues:
        raise DocumentInvalid(issues)


def _frozen(version_id: uuid.UUID) -> object:
    with scope.transaction():
        version = WorkflowVersion.objects.filter(pk=version_id).first()
    if version is None:
        raise NotFound.of("version", path=("workflow", "workflowVersionId"))
    return version.document
