"""Whether a database of our own is as this code wants it, so that a second start need not look."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from config.env import ROOT

# Whatever migrating and seeding depend on; packages bring migrations too.
SOURCES: Final = (
    "apps/*/migrations/*.py",
    "apps/**/*.sql",
    "apps/nodes/examples/*.json",
    "config/seeding.py",
    "config/showcase.py",
    "requirements/base.txt",
)


class Preparation:
    """A note inside the cluster's own directory: gone with the data it speaks of."""

    def __init__(self, cluster_directory: Path) -> None:
        self._note = cluster_directory / "data" / "nstarx_prepared"

    def holds(self) -> bool:
        """Whether this code prepared this cluster today (partitions are made a day at a time)."""
        try:
            return self._note.read_text() == _fingerprint()
        except FileNotFoundError:
            return False

    def note(self) -> None:
        """Remember that it is prepared."""
        self._note.write_text(_fingerprint())


def _fingerprint() -> str:
    digest = hashlib.sha256(datetime.now(UTC).date().isoformat().encode())
    for pattern in SOURCES:
        for path in sorted(ROOT.glob(pattern)):
            digest.update(str(path.relative_to(ROOT)).encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()
