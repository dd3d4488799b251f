"""Whether the workflows that a document names are there, and take what it gives them."""

from __future__ import annotations

from collections.abc import Iterator

from apps.versions.models import WorkflowVersion
from apps.workflows.graph.callees import Callee, callees, misfits, workflow_id_of
from apps.workflows.graph.document import Document
from apps.workflows.graph.issues import DocumentInvalid, Issue
from apps.workflows.models import Workflow


def require_callees(document: Document) -> None:
    """Raises DocumentInvalid; what an expression names is known, and refused, when it runs."""
    named = tuple(callees(document))
    if named and (issues := tuple(_issues(named))):
        raise DocumentInvalid(issues)


def _issues(named: tuple[Callee, ...]) -> Iterator[Issue]:
    keys = [workflow_id_of(callee.workflow) for callee in named]
    present = Workflow.objects.in_bulk({key for key in keys if key is not None})
    for callee, key in zip(named, keys, strict=True):
        drawn = present.get(key)
        if drawn is None:
            message = "No workflow with this id is visible here; take the id from its page."
            yield _issue(callee, "SUBWORKFLOW_UNKNOWN", message)
        elif drawn.archived_at is not None:
            message = f"`{drawn.name}` is archived; restore it or name another workflow."
            yield _issue(callee, "SUBWORKFLOW_ARCHIVED", message)
        else:
            yield from _fits(callee, drawn)


def _fits(callee: Callee, drawn: Workflow) -> Iterator[Issue]:
    """Pinned: against the version. Tracking: against the draft, which will be deployed."""
    called = drawn.document
    if callee.version is not None:
        rows = WorkflowVersion.objects.of(drawn.pk).filter(version=callee.version)
        version: WorkflowVersion | None = rows.first()
        if version is None:
            message = f"`{drawn.name}` has no version of that number; look at its versions."
            yield _issue(callee, "SUBWORKFLOW_VERSION_UNKNOWN", message)
            return
        called = version.graph
    yield from misfits(callee, called)


def _issue(callee: Callee, code: str, message: str) -> Issue:
    return Issue(code=code, message=message, path=callee.path, node_id=callee.node_id)
