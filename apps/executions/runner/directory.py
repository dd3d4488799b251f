"""The directory of one attempt: made when it is first asked for, gone when the attempt ends."""

from __future__ import annotations

import shutil
import tempfile
import threading
from pathlib import Path


class WorkDirectory:
    """Most steps never need one, and making one costs more than they do."""

    def __init__(self, *, parent: Path | None = None) -> None:
        self._parent = parent
        self._lock = threading.Lock()
        self._path: Path | None = None

    @property
    def path(self) -> Path:
        """Empty when it is new, readable by this user alone."""
        with self._lock:
            if self._path is None:
                self._path = Path(tempfile.mkdtemp(prefix="nstarx-step-", dir=self._parent))
            return self._path

    def remove(self) -> None:
        """Delete it with everything in it."""
        with self._lock:
            path, self._path = self._path, None
        if path is not None:
            shutil.rmtree(path, ignore_errors=True)
