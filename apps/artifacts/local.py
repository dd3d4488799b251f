"""Objects in a directory of this machine: one file each, written aside, moved into place."""

from __future__ import annotations

import contextlib
import datetime as dt
import hashlib
import os
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Final

from apps.artifacts.objects import Lying
from apps.artifacts.reference import is_digest

_DRAFTS: Final = "drafts"
_PREFIX: Final = "sha256:"


class LocalDirectory:
    """An ObjectStore under `root`: <tenant>/<2 hex>/<64 hex>, and <tenant>/drafts/<uuid>."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def draft(self, tenant_id: uuid.UUID) -> LocalDraft:
        """A file that only its writer knows."""
        directory = self._tenant(tenant_id) / _DRAFTS
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        return LocalDraft(directory / uuid.uuid4().hex, home=self._tenant(tenant_id))

    def open(self, tenant_id: uuid.UUID, digest: str) -> BinaryIO:
        """The file as it lies there."""
        return self._path(tenant_id, digest).open("rb")

    def remove(self, tenant_id: uuid.UUID, digest: str) -> None:
        """Unlink; a stream that is open stays readable."""
        self._path(tenant_id, digest).unlink(missing_ok=True)

    def lying(self, tenant_id: uuid.UUID) -> Iterator[Lying]:
        """Walk the tenant's directory."""
        for path in self._tenant(tenant_id).glob("??/*"):
            digest = _PREFIX + path.name
            if is_digest(digest):
                with contextlib.suppress(FileNotFoundError):
                    yield Lying(digest=digest, written_at=_written_at(path))

    def drop_drafts(self, tenant_id: uuid.UUID, *, older_than: dt.datetime) -> int:
        """Unlink drafts that nobody has written to since."""
        dropped = 0
        for path in (self._tenant(tenant_id) / _DRAFTS).glob("*"):
            with contextlib.suppress(FileNotFoundError):
                if _written_at(path) < older_than:
                    path.unlink()
                    dropped += 1
        return dropped

    def _tenant(self, tenant_id: uuid.UUID) -> Path:
        return self._root / tenant_id.hex

    def _path(self, tenant_id: uuid.UUID, digest: str) -> Path:
        return _place(self._tenant(tenant_id), digest)


class LocalDraft:
    """A Draft in a file beside the objects, so that publishing is one rename."""

    def __init__(self, path: Path, *, home: Path) -> None:
        self._path = path
        self._home = home
        self._hash = hashlib.sha256()
        self._size = 0
        self._file = os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")

    @property
    def digest(self) -> str:
        """Of what was written so far."""
        return _PREFIX + self._hash.hexdigest()

    @property
    def size(self) -> int:
        """Bytes written so far."""
        return self._size

    def write(self, piece: bytes) -> None:
        """Append and count."""
        self._file.write(piece)
        self._hash.update(piece)
        self._size += len(piece)

    def finish(self) -> None:
        """Onto the disk."""
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()

    def publish(self) -> None:
        """Rename into place; the directory is synced, so the name survives a crash too."""
        target = _place(self._home, self.digest)
        target.parent.mkdir(exist_ok=True, mode=0o700)
        self._path.replace(target)
        directory = os.open(target.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)

    def discard(self) -> None:
        """Close and unlink."""
        self._file.close()
        self._path.unlink(missing_ok=True)


def _place(home: Path, digest: str) -> Path:
    # Checked here as well: whatever calls, a digest never becomes a path that leads elsewhere.
    if not is_digest(digest):
        raise FileNotFoundError(digest)
    name = digest.removeprefix(_PREFIX)
    return home / name[:2] / name


def _written_at(path: Path) -> dt.datetime:
    return dt.datetime.fromtimestamp(path.stat().st_mtime, dt.UTC)
