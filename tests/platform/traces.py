"""Finds every process of a test by a mark in its environment, command line or directory."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path

PATIENCE_SECONDS = 30.0


def marked(mark: str) -> dict[int, str]:
    """Living processes that carry the mark, with their command lines; zombies are dead."""
    found: dict[int, str] = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdecimal():
            continue
        with contextlib.suppress(OSError):
            command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            environment = (entry / "environ").read_bytes().decode(errors="replace")
            place = str((entry / "cwd").readlink())
            state = (entry / "stat").read_text().rpartition(")")[2].split()[0]
            if state != "Z" and any(mark in text for text in (command, environment, place)):
                found[int(entry.name)] = command
    return found


def wait_until_gone(mark: str) -> dict[int, str]:
    """What still lives after a generous while; empty when everything ended."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while (left := marked(mark)) and time.monotonic() < deadline:
        time.sleep(0.05)
    return left
