"""Directories of attempts: made when first asked for, removed at the end, swept after a crash."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
import threading
from pathlib import Path

_ROOT = "nstarx-steps-"


class StepDirectories:
    """The one place of this process below which its steps may write."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._root: Path | None = None

    @property
    def root(self) -> Path:
        """Readable by this user alone; the first call sweeps what dead processes left."""
        with self._lock:
            if self._root is None:
                _sweep(Path(tempfile.gettempdir()))
                self._root = Path(tempfile.mkdtemp(prefix=f"{_ROOT}{os.getpid()}-"))
            return self._root

    def remove(self) -> None:
        """Delete everything."""
        with self._lock:
            root, self._root = self._root, None
        if root is not None:
            shutil.rmtree(root, ignore_errors=True)


def _sweep(parent: Path) -> None:
    """A killed worker cannot clean up: its successor does, for processes that are gone."""
    for left in parent.glob(f"{_ROOT}*-*"):
        match = re.fullmatch(rf"{_ROOT}(\d+)-.*", left.name)
        try:
            if match and left.stat().st_uid == os.getuid() and not _lives(int(match[1])):
                shutil.rmtree(left, ignore_errors=True)
        except OSError:
            continue


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


class WorkDirectory:
    """Most steps never need one, and making one costs more than they do."""

    def __init__(self, directories: StepDirectories) -> None:
        self._directories = directories
        self._lock = threading.Lock()
        self._path: Path | None = None

    @property
    def path(self) -> Path:
        """Empty when it is new."""
        with self._lock:
            if self._path is None:
                self._path = Path(tempfile.mkdtemp(dir=self._directories.root))
            return self._path

    def remove(self) -> None:
        """Delete it with everything in it."""
        with self._lock:
            path, self._path = self._path, None
        if path is not None:
            shutil.rmtree(path, ignore_errors=True)
