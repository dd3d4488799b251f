"""What a peer's program and the bench say to each other: one line of JSON each way.

Only the standard library: the programs run in environments that hold nothing of ours.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Mapping
from typing import TypeAlias

Case: TypeAlias = Callable[[int], float]
"""Takes how many runs are wanted; returns seconds."""


def serve(cases: Mapping[str, Case], *, version: str) -> None:
    """Answer until the bench hangs up. What libraries print goes to the log."""
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    answers.write(json.dumps({"version": version, "cases": list(cases)}) + "\n")
    for line in sys.stdin:
        asked = json.loads(line)
        try:
            answer: dict[str, object] = {"seconds": cases[asked["case"]](asked["runs"])}
        except Exception as error:
            answer = {"error": f"{type(error).__name__}: {error}"[:500]}
        answers.write(json.dumps(answer) + "\n")


def timed(work: Callable[[], object]) -> float:
    """Seconds of a call."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def until(ready: Callable[[], bool], *, seconds: float = 120.0) -> None:
    """Ask twice a second. Raises TimeoutError; an OSError only means not yet."""
    give_up = time.monotonic() + seconds
    while time.monotonic() < give_up:
        try:
            if ready():
                return
        except OSError:
            pass
        time.sleep(0.5)
    raise TimeoutError("the peer did not get ready")
