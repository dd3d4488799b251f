"""A parent above the supervisor: whatever ends either of the two, nothing below is left running."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from types import FrameType
from typing import Final

from config.supervisor import kernel
from config.supervisor.processes import kill_all

FORWARDED: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
LAST_CHECKPOINT_SECONDS: Final = 5.0


def guarded(work: Callable[[], int]) -> int:
    """Run `work` in a child and return its exit code; then end all it has left behind.

    SIGKILL of the child: this process inherits its orphans, lets those with a death signal
    (PostgreSQL's is a clean shutdown) finish for a moment, and kills the rest. SIGKILL of this
    process: the child is told to stop and does it in order. SIGKILL of both: every process
    they started has a death signal of its own.
    """
    kernel.adopt_orphans()
    parent = os.getpid()
    child = os.fork()
    if child == 0:
        kernel.die_with_parent(signal.SIGTERM, parent=parent)
        os._exit(_finish(work))

    def forward(number: int, frame: FrameType | None) -> None:
        os.kill(child, number)

    for number in FORWARDED:
        signal.signal(number, forward)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    _end_what_is_left()
    return code if code >= 0 else 128 - code


def _finish(work: Callable[[], int]) -> int:
    try:
        return work()
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else 1


def _end_what_is_left() -> None:
    deadline = time.monotonic() + LAST_CHECKPOINT_SECONDS
    while _reap_and_count() and time.monotonic() < deadline:
        time.sleep(0.05)
    while _reap_and_count():
        kill_all(kernel.descendants(os.getpid()))
        time.sleep(0.02)


def _reap_and_count() -> int:
    """Bury the dead among our children; how many still live."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        return 0
    return len(kernel.children(os.getpid()))
