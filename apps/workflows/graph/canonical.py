"""What a document is, by content: RFC 8785 bytes and the two digests made from them."""

import hashlib
from typing import Any

import rfc8785

from apps.workflows.graph.document import to_json
from apps.workflows.graph.shape import Document

_NOT_BEHAVIOR = frozenset({"position", "notes"})


def content_hash(document: Document) -> str:
    """`sha256:…` of the behavior: without positions, notes, metadata. Of a normal form."""
    return _digest(behavior(document))


def full_hash(document: Document) -> str:
    """`sha256:…` of everything a commit keeps."""
    return _digest(to_json(document))


def behavior(document: Document) -> dict[str, Any]:
    """The JSON whose digest identifies behavior."""
    written = to_json(document)
    written.pop("metadata", None)
    written["nodes"] = [
        {name: value for name, value in node.items() if name not in _NOT_BEHAVIOR}
        for node in written["nodes"]
    ]
    return written


def _digest(value: dict[str, Any]) -> str:
    return f"sha256:{hashlib.sha256(rfc8785.dumps(value)).hexdigest()}"
