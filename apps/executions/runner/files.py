"""Stored objects as a node sees them: verified streams in, references out."""

from __future__ import annotations

import io
import os
import shutil
from pathlib import Path
from typing import BinaryIO

from apps.executions.runner.directory import WorkDirectory
from apps.executions.runner.doors import ObjectStore
from apps.kit.errors import Refusal
from apps.workflows.graph.context import ArtifactRef, NodeError

_COPY = 1 << 20


class StepArtifacts:
    """Artifacts over the tenant's store; local copies live in the attempt's own directory."""

    def __init__(self, objects: ObjectStore, *, directory: WorkDirectory) -> None:
        self._objects = objects
        self._directory = directory
        self.bytes_in = 0
        self.bytes_out = 0

    def open(self, reference: ArtifactRef) -> BinaryIO:
        """A stream whose digest is verified."""
        try:
            stream = self._objects.open(reference)
        except LookupError:
            raise NodeError(
                "ARTIFACT_MISSING",
                f"The object {reference.digest} does not exist any more;"
                " run the step before again.",
                details={"digest": reference.digest},
            ) from None
        except ValueError as error:
            raise NodeError("ARTIFACT_DAMAGED", str(error)) from None
        self.bytes_in += reference.bytes
        return stream

    def path(self, reference: ArtifactRef) -> Path:
        """A local copy, made once."""
        target = self._directory.path / f"object-{reference.digest.rpartition(':')[2][:40]}"
        if not target.exists():
            partial = target.with_suffix(".partial")
            try:
                with self.open(reference) as stream, partial.open("wb") as file:
                    shutil.copyfileobj(stream, file, _COPY)
            except ValueError as error:
                raise NodeError("ARTIFACT_DAMAGED", str(error)) from None
            partial.rename(target)
        return target

    def put(self, content: bytes | BinaryIO | Path, *, media_type: str) -> ArtifactRef:
        """Store bytes, a stream or a file."""
        if isinstance(content, Path):
            with content.open("rb") as file:
                return self._put(file, media_type=media_type)
        if isinstance(content, bytes | bytearray | memoryview):
            return self._put(io.BytesIO(content), media_type=media_type)
        return self._put(content, media_type=media_type)

    def adopt(self, name: str, *, media_type: str) -> ArtifactRef:
        """Store a file that the step's process left in the directory.

        Opened by plain name and without following links: a process may only give what is its own.
        """
        if not name or "/" in name or name.startswith("."):
            raise NodeError("ARTIFACT_INVALID", "A file is named without a path.")
        try:
            descriptor = os.open(self._directory.path / name, os.O_RDONLY | os.O_NOFOLLOW)
        except OSError:
            raise NodeError("ARTIFACT_INVALID", "There is no such file.") from None
        with os.fdopen(descriptor, "rb") as file:
            return self._put(file, media_type=media_type)

    def _put(self, stream: BinaryIO, *, media_type: str) -> ArtifactRef:
        try:
            stored = self._objects.put(stream, media_type=media_type)
        except Refusal as refusal:
            raise NodeError(str(refusal.code), refusal.message) from None
        self.bytes_out += stored.bytes
        return stored
