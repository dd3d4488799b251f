"""The four Linux calls Python 3.11 lacks: death signal, subreaper, user namespace, its probe."""

from __future__ import annotations

import ctypes
import functools
import os
import signal
from pathlib import Path
from typing import Final

_PR_SET_PDEATHSIG: Final = 1
_PR_SET_CHILD_SUBREAPER: Final = 36
_CLONE_NEWUSER: Final = 0x10000000
# Loaded at import: between fork and exec nothing may be loaded.
_LIBC: Final = ctypes.CDLL(None, use_errno=True)


def _checked(result: int, call: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{call}: {os.strerror(number)}")


def die_with_parent(death_signal: signal.Signals, *, parent: int) -> None:
    """Ask the kernel to signal this process when its parent ends, however it ends.

    Credentials must not change afterwards: the kernel then forgets the wish.
    """
    _checked(_LIBC.prctl(_PR_SET_PDEATHSIG, int(death_signal), 0, 0, 0), "prctl(PDEATHSIG)")
    if os.getppid() != parent:  # it ended before we asked
        os.kill(os.getpid(), death_signal)


def adopt_orphans() -> None:
    """Become the parent of every descendant whose own parent ends."""
    _checked(_LIBC.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0), "prctl(SUBREAPER)")


def leave_root(*, user: int, group: int) -> None:
    """Enter a user namespace in which root is an ordinary user; files keep their owner."""
    outer_user, outer_group = os.geteuid(), os.getegid()
    _checked(_LIBC.unshare(_CLONE_NEWUSER), "unshare(NEWUSER)")
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"{user} {outer_user} 1")
    Path("/proc/self/gid_map").write_text(f"{group} {outer_group} 1")


@functools.cache
def user_namespaces_work() -> bool:
    """Whether this machine lets a process make a user namespace; tried in a child."""
    child = os.fork()
    if child == 0:
        try:
            leave_root(user=1000, group=1000)
        except OSError:
            os._exit(1)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def descendants(of: int) -> list[int]:
    """Every living process below one process, children before grandchildren."""
    found: list[int] = []
    queue = [of]
    while queue:
        for child in children(queue.pop()):
            found.append(child)
            queue.append(child)
    return found


def children(of: int) -> list[int]:
    """The direct children of one process, zombies included."""
    below: list[int] = []
    for tasks in Path(f"/proc/{of}/task").glob("*/children"):
        try:
            below.extend(int(text) for text in tasks.read_text().split())
        except (
            FileNotFoundError,
            ProcessLookupError,
        ):  # the thread ended while we looked
            continue
    return below
