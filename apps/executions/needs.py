"""What a document needs from its environment before a run may start."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from apps.workflows.graph.declaration import SECRET_PATTERN
from apps.workflows.graph.document import Document


def secret_names(document: Document) -> tuple[str, ...]:
    """Secrets that nodes which may run refer to, in document order."""
    names = {
        name: None
        for node in document.nodes
        if not node.disabled
        for name in _names(node.configuration)
    }
    return tuple(names)


def _names(configuration: Any) -> Iterator[str]:
    stack = [configuration]
    while stack:
        value = stack.pop()
        if isinstance(value, str):
            yield from SECRET_PATTERN.findall(value)
        elif isinstance(value, dict):
            stack.extend(reversed(list(value.values())))
        elif isinstance(value, list):
            stack.extend(reversed(value))
