"""Which nodes of a document share keys, found once when it is compiled."""

from __future__ import annotations

from collections.abc import Mapping

from apps.workflows.graph.document import Concurrency, Document


def keyed_of(document: Document) -> Mapping[str, Concurrency]:
    """Bounds by node id, the workflow's own under the empty one."""
    found = {node.id: node.concurrency for node in document.nodes if node.concurrency is not None}
    shared = document.configuration.concurrency
    return found if shared is None else {"": shared, **found}
