"""Maps as people read them: an item's value, and where it is when the list is an object."""

from __future__ import annotations

from typing import Any

from apps.workflows.graph.mapping import MapOpening


def given_to(opening: MapOpening, index: int) -> Any:
    """The item; of a list that is an object of lines, the object and the line, from 1."""
    if isinstance(opening.items, list):
        return opening.items[index] if index < len(opening.items) else None
    return {**opening.items, "line": index + 1}
