"""Stored objects as maps need them: a stream to read, a stream to store."""

from __future__ import annotations

from collections.abc import Callable
from typing import BinaryIO, Protocol
from uuid import UUID

from apps.workflows.graph.context import ArtifactRef


class Objects(Protocol):
    """One tenant's objects."""

    def open(self, reference: ArtifactRef) -> BinaryIO:
        """A seekable stream of verified content; raises LookupError or ValueError (damaged)."""

    def put(self, content: BinaryIO, *, media_type: str) -> ArtifactRef:
        """Store what the stream holds; raises a Refusal when the quota is used up."""


OpenObjects = Callable[[UUID, UUID], Objects]
"""Of a tenant, for a run."""


class NoObjects:
    """Where there is no store: everything has to travel inline."""

    def open(self, reference: ArtifactRef) -> BinaryIO:
        """There is nothing."""
        raise LookupError(reference.digest)

    def put(self, content: BinaryIO, *, media_type: str) -> ArtifactRef:
        """There is no place."""
        raise LookupError(media_type)
