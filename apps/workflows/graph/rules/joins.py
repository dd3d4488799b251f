"""Rules about joins: how many branches they need stands in the document, and can be met."""

from collections.abc import Iterator

from apps.workflows.graph.issues import Issue
from apps.workflows.graph.joins import JOIN, NEEDED, needed_by
from apps.workflows.graph.rules.drawing import Drawing


def check(drawing: Drawing) -> Iterator[Issue]:
    """All rules of this file."""
    for node in drawing.nodes.values():
        if node.type != JOIN:
            continue
        if isinstance(node.configuration.get(NEEDED), str):
            message = f"`{NEEDED}` of `{node.id}` is read before anything runs: write a number."
            yield drawing.node_issue(
                node, "CONFIGURATION_WRONG_TYPE", message, "configuration", NEEDED
            )
        needed, branches = needed_by(node), len(drawing.incoming.get(node.id, ()))
        if needed is not None and needed > branches:
            message = (
                f"`{node.id}` needs {needed} branches and has {branches}: "
                "connect more, or need fewer."
            )
            yield drawing.node_issue(node, "JOIN_OUT_OF_REACH", message, "configuration", NEEDED)
