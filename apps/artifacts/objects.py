"""The port to where objects lie: drafts that become objects in one step, streams, and a listing."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO, Protocol


@dataclass(frozen=True, kw_only=True)
class Lying:
    """An object that lies in the store, whether or not a row knows it."""

    digest: str
    written_at: dt.datetime


class Draft(Protocol):
    """An object that is being written and that nobody can read yet."""

    @property
    def digest(self) -> str:
        """Of what was written so far."""
        ...

    @property
    def size(self) -> int:
        """Bytes written so far."""
        ...

    def write(self, piece: bytes) -> None:
        """Append."""
        ...

    def finish(self) -> None:
        """Make what was written survive a crash; nothing is written after it."""
        ...

    def publish(self) -> None:
        """Make it readable under its digest, at once and whole; replaces an equal one."""
        ...

    def discard(self) -> None:
        """Drop it, unless it was published."""
        ...


class ObjectStore(Protocol):
    """Objects by tenant and digest. Two tenants with equal content have two objects."""

    def draft(self, tenant_id: uuid.UUID) -> Draft:
        """Begin an object."""
        ...

    def open(self, tenant_id: uuid.UUID, digest: str) -> BinaryIO:
        """A seekable stream of what lies there, not verified. Raises FileNotFoundError."""
        ...

    def remove(self, tenant_id: uuid.UUID, digest: str) -> None:
        """Remove it; it is no mistake if it is gone."""
        ...

    def lying(self, tenant_id: uuid.UUID) -> Iterator[Lying]:
        """Every object of a tenant, for the garbage collection."""
        ...

    def drop_drafts(self, tenant_id: uuid.UUID, *, older_than: dt.datetime) -> int:
        """Remove what crashed writers left; returns how many."""
        ...
