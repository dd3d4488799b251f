"""The document behind a row, read once per request, for a whole page when the list left it out."""

from __future__ import annotations

import uuid
from typing import Any

from apps.kit.graphql.batch import batched
from apps.workflows.graph import catalogue
from apps.workflows.graph import document as language
from apps.workflows.graph.document import Document
from apps.workflows.graph.issues import Report
from apps.workflows.graph.validate import validate
from apps.workflows.models import Workflow

_DRAWN = "_drawn"


def draft_json(row: Workflow) -> dict[str, Any]:
    """The draft as it is kept."""
    if "draft_document" not in row.get_deferred_fields():
        kept: dict[str, Any] = row.draft_document
        return kept
    return batched(row, "draft_document", _drafts, row.pk) or {}


def draft(row: Workflow) -> Document:
    """The draft, parsed."""
    known: tuple[str, Document] | None = getattr(row, _DRAWN, None)
    if known is None or known[0] != row.draft_hash:
        known = row.draft_hash, language.parse(draft_json(row))
        setattr(row, _DRAWN, known)
    return known[1]


def report(row: Workflow) -> Report:
    """What can be said about the draft without running it."""
    return validate(draft(row), catalogue.INSTALLED)


def _drafts(rows: tuple[Workflow, ...]) -> dict[Any, dict[str, Any]]:
    wanted: list[uuid.UUID] = [row.pk for row in rows]
    return dict(Workflow.objects.filter(pk__in=wanted).values_list("pk", "draft_document"))
