"""What versions add to the types of workflows: `versions`, `branches`, `diff`."""

from __future__ import annotations

import uuid
from collections.abc import Hashable, Mapping
from typing import Annotated

import strawberry
from django.db.models import QuerySet

from apps.kit.errors import NotFound
from apps.kit.graphql.batch import batched
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

    def rows(one: Row) -> QuerySet[models.WorkflowVersion]:
        found: QuerySet[models.WorkflowVersion]
        found = (
            models.WorkflowVersion.objects.of(one.pk).numbered().with_author().without_document()
        )
        return found if branch is None else found.filter(branch=branch)

    return WorkflowVersionConnection.of_each(
        root, rows, window=window(first=first, after=after), key=["versions", branch]
    )


def branches(root: strawberry.Parent[Row]) -> list[Branch]:
    """The lines of versions; `main` is there from the first commit on."""
    head = batched(root, "heads of main", _heads_of_main, root.pk)
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
    if number is None:
        row = batched(root, "heads", _heads, root.pk)
    else:
        row = models.WorkflowVersion.objects.of(root.pk).numbered().filter(version=number).first()
    if row is not None:
        return row.label, row.graph
    if number is not None:
        raise NotFound("This workflow has no version of that number.", path=(argument,))
    draft = drawn.draft(root)
    return NEVER_COMMITTED, Document(name=draft.name, type=draft.type)


def _heads(rows: tuple[Row, ...]) -> Mapping[Hashable, models.WorkflowVersion]:
    """The newest version of each workflow of a page."""
    return {one.workflow_id: one for one in models.WorkflowVersion.objects.heads(_keys(rows))}


def _heads_of_main(rows: tuple[Row, ...]) -> Mapping[Hashable, models.WorkflowVersion]:
    found = models.WorkflowVersion.objects.heads(_keys(rows)).filter(branch=models.MAIN)
    return {one.workflow_id: one for one in found.without_document().with_author()}


def _keys(rows: tuple[Row, ...]) -> list[uuid.UUID]:
    return [row.pk for row in rows]


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
