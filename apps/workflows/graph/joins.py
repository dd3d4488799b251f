"""Which node waits for some of its branches only, and for how many."""

from typing import Final

from apps.workflows.graph.shape import Node

JOIN: Final = "control.join"
NEEDED: Final = "needed"
"""Its parameter, read from the document: nobody runs the node before it is known."""


def needed_by(node: Node) -> int | None:
    """How many values let the node run at once; None for all connections decided."""
    needed = node.configuration.get(NEEDED) if node.type == JOIN else None
    return needed if isinstance(needed, int) and needed > 0 else None
