"""Keyset pages as links: `?after=` and `?before=` in, the two ends of the page out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

from django.http import HttpRequest

from apps.kit.pages import DEFAULT_PAGE, Page, Window

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Pager(Generic[T]):
    """What `components/pager.html` needs: the rows and the cursors at both ends."""

    items: tuple[T, ...]
    has_next: bool
    has_previous: bool
    start_cursor: str
    end_cursor: str


def window_of(request: HttpRequest, *, size: int = DEFAULT_PAGE) -> Window:
    """The page asked for; the size is the page's own, never the visitor's."""
    before = request.GET.get("before")
    if before:
        return Window(last=size, before=before)
    return Window(first=size, after=request.GET.get("after") or None)


def pager(page: Page[T]) -> Pager[T]:
    """A keyset page with the cursors its links carry."""
    return Pager(
        items=page.items,
        has_next=page.has_next,
        has_previous=page.has_previous,
        start_cursor=page.cursors[0] if page.cursors else "",
        end_cursor=page.cursors[-1] if page.cursors else "",
    )
