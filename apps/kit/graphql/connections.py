"""Connections: pages of a list, with cursors, over the keyset pages of kit.

@strawberry.type
class AuditEdge(Edge[AuditEvent]): ...

@strawberry.type
class AuditConnection(Connection[AuditEvent, AuditEdge]): ...

def audit_log(self, first: int = 50, after: str | None = None) -> AuditConnection:
    return AuditConnection.of(AuditRow.objects.all(), order=("-at", "-id"),
                              window=window(first=first, after=after), key="auditLog")
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any, Generic, Self, TypeVar, cast, get_args

import strawberry
from django.db import models

from apps.kit.graphql.batch import batched, share, share_fresh
from apps.kit.graphql.fields import field
from apps.kit.pages import Page, Window, counts, first_pages, paginate

COUNT_LIMIT = 1_000

NodeT = TypeVar("NodeT")
EdgeT = TypeVar("EdgeT")


@strawberry.type
class PageInfo:
    """Whether there is more, and the cursors at both ends of this page."""

    has_next_page: bool
    has_previous_page: bool
    start_cursor: str | None = None
    end_cursor: str | None = None


@strawberry.type
class BoundedCount:
    """A count that is exact up to `limit`, then a floor: {value: 1000, isExact: false}."""

    value: int
    is_exact: bool


@strawberry.type
class Edge(Generic[NodeT]):
    """One row of a page and the cursor that continues behind it."""

    cursor: str
    node: NodeT


@strawberry.type
class Connection(Generic[NodeT, EdgeT]):
    """One page. Subclasses name their node and edge types and inherit the rest."""

    edges: list[EdgeT]
    page_info: PageInfo
    count: strawberry.Private[Callable[[], BoundedCount]]

    @field()
    def nodes(self) -> list[NodeT]:
        """The edges' nodes, for clients that need no cursors."""
        return [cast("Edge[NodeT]", edge).node for edge in self.edges]

    @field()
    def total_count(self) -> BoundedCount:
        """All rows of the question, counted up to a bound."""
        return self.count()

    @classmethod
    def of(
        cls,
        queryset: models.QuerySet[Any],
        *,
        order: Sequence[str] = ("-id",),
        window: Window,
        key: Any,
        edge: Callable[[Any], dict[str, Any]] | None = None,
    ) -> Self:
        """One page of a QuerySet. `key` identifies the question: filters, sort, tenant.

        `edge` gives further fields of an edge for a row, where the edge type has some.
        """
        node, _ = _named_types(cls)
        narrow = getattr(node, "get_queryset", None)
        # A type narrows what is shown of its model, even where the managers were passed by.
        rows = queryset if narrow is None else narrow(queryset, None)
        page = paginate(rows, order=order, window=window, key=key)
        return cls.from_page(page, count=lambda: bounded_count(rows), edge=edge)

    @classmethod
    def of_each(
        cls,
        parent: Any,
        rows_of: Callable[[Any], models.QuerySet[Any]],
        *,
        order: Sequence[str] = ("-id",),
        window: Window,
        key: Sequence[Any],
        columns: object = None,
    ) -> Self:
        """One page of `rows_of(parent)`; its peers' first pages, and counts, come along with it.

        `key` identifies the question beside the parent, `columns` which of the rows' are read.
        A page behind a cursor is one parent's.
        """
        node, _ = _named_types(cls)
        narrow = getattr(node, "get_queryset", None)

        def rows(one: Any) -> models.QuerySet[Any]:
            return rows_of(one) if narrow is None else narrow(rows_of(one), None)

        def bound(one: Any) -> list[Any]:
            return [*key, one.pk]

        if window.after or window.before or window.last is not None:
            return cls.of(rows_of(parent), order=order, window=window, key=bound(parent))
        name = repr((cls.__name__, window, tuple(order), tuple(key), columns))

        def load(peers: tuple[Any, ...]) -> Mapping[Hashable, Page[Any]]:
            pages = first_pages(
                {one.pk: rows(one) for one in peers},
                order=order,
                window=window,
                keys={one.pk: bound(one) for one in peers},
            )
            # Neighbors across the pages, so that what is asked of them is asked once.
            share(row for page in pages.values() for row in page.items)
            return pages

        def count() -> BoundedCount:
            found = batched(parent, f"count {name}", count_all, parent.pk) or 0
            return BoundedCount(value=min(found, COUNT_LIMIT), is_exact=found <= COUNT_LIMIT)

        def count_all(peers: tuple[Any, ...]) -> Mapping[Hashable, int]:
            return counts({one.pk: rows(one) for one in peers}, limit=COUNT_LIMIT)

        page = batched(parent, name, load, parent.pk)
        assert page is not None  # noqa: S101 - every peer has a page
        return cls.from_page(page, count=count)

    @classmethod
    def from_page(
        cls,
        page: Page[Any],
        *,
        count: Callable[[], BoundedCount],
        edge: Callable[[Any], dict[str, Any]] | None = None,
    ) -> Self:
        """Wrap a page that was cut elsewhere."""
        share_fresh(page.items)
        _, make = _named_types(cls)
        return cls(
            edges=[
                make(cursor=cursor, node=item, **(edge(item) if edge else {}))
                for item, cursor in zip(page.items, page.cursors, strict=True)
            ],
            page_info=PageInfo(
                has_next_page=page.has_next,
                has_previous_page=page.has_previous,
                start_cursor=page.cursors[0] if page.cursors else None,
                end_cursor=page.cursors[-1] if page.cursors else None,
            ),
            count=count,
        )


def window(
    *,
    first: int | None,
    after: str | None = None,
    last: int | None = None,
    before: str | None = None,
) -> Window:
    """The window of a field's arguments; `last` switches the default of `first` off."""
    return Window(first=None if last is not None else first, after=after, last=last, before=before)


def bounded_count(queryset: models.QuerySet[Any], limit: int = COUNT_LIMIT) -> BoundedCount:
    """Count at most `limit` + 1 rows: an exact total of a large list costs more than the page."""
    found = queryset.order_by()[: limit + 1].count()
    return BoundedCount(value=min(found, limit), is_exact=found <= limit)


def exactly(number: int) -> BoundedCount:
    """A count that is known."""
    return BoundedCount(value=number, is_exact=True)


def _named_types(connection: type[Connection[Any, Any]]) -> tuple[Any, Any]:
    for base in getattr(connection, "__orig_bases__", ()):
        arguments = get_args(base)
        if len(arguments) == len(("node", "edge")):
            return arguments
    message = f"{connection.__name__} names no types: subclass Connection[Node, Edge]"
    raise TypeError(message)
