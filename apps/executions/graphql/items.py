"""The items of a map, below its step: how many are done, and each with its outcome."""

from __future__ import annotations

import enum
from collections.abc import Hashable, Mapping

import strawberry
from strawberry.scalars import JSON

from apps.executions import models
from apps.executions.graphql.types import Execution, ExecutionError, NodeRun, preview
from apps.executions.mapped import given_to
from apps.kit.graphql.batch import batched
from apps.kit.graphql.connections import Connection, Edge, bounded_count, exactly, window
from apps.kit.graphql.extend import extend
from apps.kit.graphql.fields import field
from apps.kit.pages import Page, paginate
from apps.workflows.graph.mapping import MapOpening


@strawberry.enum
class MapItemState(enum.Enum):
    """Where an item of a map is; one that no worker has reached has none."""

    BEGUN = "begun"
    DONE = "done"
    FAILED = "failed"


@strawberry.type
class MapProgress:
    """How far a map is."""

    total: int
    done: int
    failed: int


@strawberry.type
class MapItem:
    """One item of a map and what became of it."""

    row: strawberry.Private[models.MapItem]
    opening: strawberry.Private[MapOpening]

    @field()
    def index(self) -> int:
        """Its place in the list, from 0."""
        return self.row.idx

    @field()
    def state(self) -> MapItemState:
        """Where it is."""
        return MapItemState(self.row.state)

    @field()
    def input(self) -> JSON:
        """The item, or the beginning of its text; of a stored list, its object and line."""
        return JSON(preview(given_to(self.opening, self.row.idx)))

    @field()
    def output(self) -> JSON | None:
        """What the body made of it, or the beginning of its text; large values are references."""
        return JSON(preview(self.row.output)) if self.row.state == "done" else None

    @field()
    def execution(self) -> Execution | None:
        """Its run, where something in the map may wait; null for others, and after retention."""
        found = None if self.row.child is None else batched(self.row, "run", _runs, self.row.child)
        return Execution.maybe(found)

    @field()
    def error(self) -> ExecutionError | None:
        """Why it failed."""
        return None if self.row.error is None else ExecutionError.of(self.row.error)


def _runs(rows: tuple[models.MapItem, ...]) -> Mapping[Hashable, models.Run]:
    keys = {row.child for row in rows if row.child is not None}
    return {run.pk: run for run in models.Run.objects.filter(pk__in=keys)}


@strawberry.type
class MapItemEdge(Edge[MapItem]):
    """One item in a page."""


@strawberry.type
class MapItemConnection(Connection[MapItem, MapItemEdge]):
    """The items of a map that are known, by index."""


def map_progress(root: strawberry.Parent[NodeRun]) -> MapProgress | None:
    """How far it is; null for a step that is no map, or has not looked at its items yet."""
    found = root.step.mapping
    if found is None:
        return None
    return MapProgress(total=found.opening.total, done=found.done, failed=found.failed)


def items(
    root: strawberry.Parent[NodeRun],
    state: list[MapItemState] | None = None,
    first: int | None = 20,
    after: str | None = None,
) -> MapItemConnection:
    """The items of a map that workers have come to, by index; none for another step."""
    found = root.step.mapping
    wanted = window(first=first, after=after)
    if found is None:
        page: Page[MapItem] = Page(items=(), cursors=(), has_next=False, has_previous=False)
        return MapItemConnection.from_page(page, count=lambda: exactly(0))
    states = sorted(one.value for one in state or ())
    rows = models.MapItem.objects.of_map(root.run_id, root.step.path)
    if states:
        rows = rows.filter(state__in=states)
    key = ["items", root.run_id, root.step.path, states]
    rows_page: Page[models.MapItem] = paginate(rows, order=("idx",), window=wanted, key=key)
    shown = Page(
        items=tuple(MapItem(row=row, opening=found.opening) for row in rows_page.items),
        cursors=rows_page.cursors,
        has_next=rows_page.has_next,
        has_previous=rows_page.has_previous,
    )
    return MapItemConnection.from_page(shown, count=lambda: bounded_count(rows))


extend(NodeRun, "map_progress", map_progress, description="How far a map is; null for others.")
extend(NodeRun, "items", items, description="The items of a map, by index.")
