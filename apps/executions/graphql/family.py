"""Who started a run where another run did, and which runs it has started."""

from __future__ import annotations

import uuid
from collections.abc import Hashable, Mapping
from typing import Any

import strawberry

from apps.executions import models
from apps.executions.graphql.types import Execution, ExecutionConnection
from apps.kit.graphql.batch import batched
from apps.kit.graphql.connections import window
from apps.kit.graphql.extend import extend
from apps.kit.graphql.selection import selects
from apps.tenancy.graphql.context import Info

strawberry.enum(models.ParentKind, name="ExecutionParentKind")
_WIDE = ("parameters", "result")


def parent(root: strawberry.Parent[models.Run]) -> Execution | None:
    """The run that started it."""
    if root.parent_id is None:
        return None
    return Execution.maybe(batched(root, "parent", _parents, root.parent_id))


def parent_kind(root: strawberry.Parent[models.Run]) -> models.ParentKind | None:
    """Why that one did."""
    return None if root.parent_kind is None else models.ParentKind(root.parent_kind)


def parent_path(root: strawberry.Parent[models.Run]) -> str | None:
    """The step there that waits for it."""
    return root.parent_path or None


def children(
    root: strawberry.Parent[models.Run],
    info: Info,
    first: int | None = 20,
    after: str | None = None,
) -> ExecutionConnection:
    """Runs that it has started, the newest first."""
    wide = selects(info, *_WIDE)

    def rows(one: models.Run) -> Any:
        below = models.Run.objects.filter(parent_id=one.pk).order_by("-id")
        return below.defer("variables") if wide else below.summary()

    return ExecutionConnection.of_each(
        root, rows, window=window(first=first, after=after), key=["children"], columns=wide
    )


def _parents(runs: tuple[models.Run, ...]) -> Mapping[Hashable, models.Run]:
    keys: set[uuid.UUID] = {run.parent_id for run in runs if run.parent_id}
    return {row.pk: row for row in models.Run.objects.filter(pk__in=keys)}


extend(Execution, "parent", parent, description="The run that started it, if another run did.")
extend(Execution, "parent_kind", parent_kind, description="Why that run did.")
extend(Execution, "parent_path", parent_path, description="The step there that waits for it.")
extend(Execution, "children", children, description="Runs that it has started, newest first.")
