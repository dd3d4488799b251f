"""The tenant's stored objects: found by digest, verified before the first byte is handed out."""

from __future__ import annotations

import hashlib
from typing import BinaryIO, Final

from apps.artifacts.errors import ArtifactMissing, DigestMismatch
from apps.artifacts.models import Artifact
from apps.artifacts.reference import is_digest
from apps.artifacts.store import object_store
from apps.tenancy import scope

_PIECE: Final = 1024 * 1024


def find_artifact(digest: str) -> Artifact:
    """The row of an object of the tenant in force. Raises ArtifactMissing."""
    if not is_digest(digest):
        raise ArtifactMissing
    with scope.transaction():
        artifact: Artifact | None = Artifact.objects.filter(digest=digest).first()
    if artifact is None:
        raise ArtifactMissing
    return artifact


def open_artifact(digest: str) -> BinaryIO:
    """`open_verified` by digest. Raises ArtifactMissing or DigestMismatch."""
    return open_verified(find_artifact(digest))


def open_verified(artifact: Artifact) -> BinaryIO:
    """A seekable stream of verified content. Raises ArtifactMissing or DigestMismatch.

    The whole object is read once before it is handed out: a reader that stops early, or seeks,
    would never learn of a change at the end. The stream is the verified file itself, so replacing
    the name afterwards changes nothing.
    """
    try:
        stream = object_store().open(scope.current_tenant_id(), artifact.digest)
    except FileNotFoundError:
        raise ArtifactMissing from None
    try:
        _verify(stream, artifact)
    except BaseException:
        stream.close()
        raise
    return stream


def _verify(stream: BinaryIO, artifact: Artifact) -> None:
    found = hashlib.sha256()
    size = 0
    while piece := stream.read(_PIECE):
        found.update(piece)
        size += len(piece)
    if size != artifact.bytes or f"sha256:{found.hexdigest()}" != artifact.digest:
        raise DigestMismatch
    stream.seek(0)
