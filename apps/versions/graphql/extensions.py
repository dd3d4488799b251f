"""What versions add to the types of workflows: `versions`, `branches`, `diff`."""

from __future__ import annotations

from typing import Annotated

import strawberry

from apps.kit.errors import NotFound
from apps.kit.graphql.connections import window
from apps.kit.graphql.cost import cost
from apps.kit.graphql.extend import extend
from apps.kit.graphql.scalars import SemVer
from apps.versions import models
from apps.versions.graphql.changes import VersionDiff
from apps.versions.graphql.types import Branch, WorkflowVersion, WorkflowVersionConnection
from apps.workflows.graph import difference
from apps.workflows.graph.document import Document
from apps.workflows.graphql import drawn
from apps.workflows.graphql.types import NEVER_COMMITTED, Workflow
from apps.workflows.models import Workflow as Row


def versions(
    root: strawberry.Parent[Row],
    branch: str | None = None,
    first: int | None = 20,
    after: str | None = None,
) -> WorkflowVersionConnection:
    """Numbered versions, the newest first."""
    found = models.WorkflowVersion.objects.of(root.pk).numbered().with_author().without_document()
    if branch is not None:
        found = found.filter(branch=branch)
    return WorkflowVersionConnection.of(
        found, window=window(first=first, after=after), key=["versions", root.pk, branch]
    )


def branches(root: strawberry.Parent[Row]) -> list[Branch]:
    """The lines of versions; `main` is there from the first commit on."""
    head = models.WorkflowVersion.objects.of(root.pk).numbered().filter(branch=models.MAIN).first()
    return [] if head is None else [Branch(name=models.MAIN, head=WorkflowVersion.of(head))]


def diff(
    root: strawberry.Parent[Row],
    from_: Annotated[SemVer | None, strawberry.argument(name="from")] = None,
    to: SemVer | None = None,
) -> VersionDiff:
    """What changed between two versions; by default from the head of main to the draft."""
    before_number, before = _version(root, from_, "from")
    after_number, after = _version(root, to, "to") if to is not None else _draft(root)
    changes = difference.compare(before, after)
    return VersionDiff.of(changes, before=before_number, after=after_number)


def _version(root: Row, number: str | None, argument: str) -> tuple[str, Document]:
    found = models.WorkflowVersion.objects.of(root.pk).numbered()
    row = (found.filter(version=number) if number is not None else found).first()
    if row is not None:
        return row.label, row.graph
    if number is not None:
        raise NotFound("This workflow has no version of that number.", path=(argument,))
    draft = drawn.draft(root)
    return NEVER_COMMITTED, Document(name=draft.name, type=draft.type)


def _draft(root: Row) -> tuple[str, Document]:
    """The draft has no number yet: it is shown as the head's with build metadata."""
    return f"{root.version or NEVER_COMMITTED}+draft.{root.draft_revision}", drawn.draft(root)


extend(Workflow, "versions", versions, description="Numbered versions, the newest first.")
extend(Workflow, "branches", branches, description="The lines of versions.")
extend(
    Workflow,
    "diff",
    diff,
    description="What changed between two versions; by default from main's head to the draft.",
    directives=[cost(5)],
)
