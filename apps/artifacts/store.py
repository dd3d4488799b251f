"""Which store this installation keeps objects in."""

from __future__ import annotations

import functools
from pathlib import Path

from django.conf import settings

from apps.artifacts.local import LocalDirectory
from apps.artifacts.objects import ObjectStore


def object_store() -> ObjectStore:
    """A directory of this machine, shared by web and workers."""
    return _local(Path(settings.DATA_DIR) / "artifacts")


@functools.lru_cache(maxsize=4)
def _local(root: Path) -> LocalDirectory:
    return LocalDirectory(root)
