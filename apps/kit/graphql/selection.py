"""What a client selects below a field, for columns that are too wide to be loaded in vain."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import strawberry
from strawberry.types.nodes import SelectedField, Selection


def selects(info: strawberry.Info, *names: str) -> bool:
    """Whether one of these fields (GraphQL names) is selected anywhere below the current one."""
    return not set(names).isdisjoint(_names(info.selected_fields))


def _names(selections: Iterable[Selection]) -> Iterator[str]:
    for selection in selections:
        if isinstance(selection, SelectedField):
            yield selection.name
        yield from _names(selection.selections)
