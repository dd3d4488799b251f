"""How the store refuses."""

from __future__ import annotations

from apps.kit.errors import ErrorCode, NotFound, Refusal


class ArtifactMissing(NotFound):
    """No object of this digest is stored here, or it was collected."""

    def __init__(self) -> None:
        super().__init__(
            "No artifact with this digest is stored here. Check the digest, or run the step that "
            "makes it again."
        )


class DigestMismatch(Refusal):
    """What is stored under a digest does not have it: changed or damaged, and not read."""

    code = ErrorCode.DIGEST_MISMATCH

    def __init__(self) -> None:
        super().__init__(
            "The stored object does not match its digest, so it was not read. Run the step that "
            "makes it again, or restore it from a backup."
        )
