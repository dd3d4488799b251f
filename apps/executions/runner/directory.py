"""Directories of attempts: made when first asked for, removed at the end, swept after a crash."""

from __future__ import annotations

import contextlib
import fcntl
import os
import subprocess
import tempfile
import threading
from pathlib import Path

_ROOT = "nstarx-steps-"
_LOCK = ".lock"
_REMOVE_SECONDS = 60


class StepDirectories:
    """The one place of this process below which its steps may write."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._root: Path | None = None
        self._lock: int | None = None

    @property
    def root(self) -> Path:
        """Readable by this user alone; the first call sweeps what dead processes left."""
        with self._guard:
            if self._root is None:
                _sweep(Path(tempfile.gettempdir()))
                self._root = Path(tempfile.mkdtemp(prefix=_ROOT))
                # Held as long as this process lives, seen from every PID namespace.
                self._lock = os.open(self._root / _LOCK, os.O_CREAT | os.O_RDWR, 0o600)
                fcntl.flock(self._lock, fcntl.LOCK_EX)
            return self._root

    def remove(self) -> None:
        """Delete everything."""
        with self._guard:
            root, self._root = self._root, None
            lock, self._lock = self._lock, None
        if root is not None:
            _remove(root)
        if lock is not None:
            os.close(lock)


def _remove(path: Path) -> None:
    """Whatever a step built in it, with one descriptor at a time: how deep, the step chose."""
    found = [path]
    for directory in found:
        with contextlib.suppress(OSError):
            for entry in list(os.scandir(directory)):
                if entry.is_dir(follow_symlinks=False):
                    found.append(Path(entry.path))
                else:
                    Path(entry.path).unlink()
    for directory in reversed(found):
        with contextlib.suppress(OSError):
            directory.rmdir()
    if path.exists():
        # Too deep for a path, or closed to those who would look.
        for program in (["chmod", "-R", "u+rwx"], ["rm", "-rf"]):
            with contextlib.suppress(OSError, subprocess.TimeoutExpired):
                subprocess.run(
                    [*program, "--", str(path)],
                    capture_output=True,
                    timeout=_REMOVE_SECONDS,
                    check=False,
                )


def _sweep(parent: Path) -> None:
    """A killed worker cannot clean up: its successor does, where nobody holds the lock."""
    for left in parent.glob(f"{_ROOT}*"):
        with contextlib.suppress(OSError):
            if left.stat().st_uid == os.getuid() and _is_abandoned(left):
                _remove(left)


def _is_abandoned(root: Path) -> bool:
    """Whether its process is gone; one without a lock may just be about to take it."""
    descriptor = os.open(root / _LOCK, os.O_RDWR)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(descriptor)
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
            _remove(path)
