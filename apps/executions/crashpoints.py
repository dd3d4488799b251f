"""Named places where a test makes this process die, stop or lose a reply; elsewhere they are empty.

Nothing in the product arms them: no setting, no variable of the environment.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

_armed: Callable[[str], None] | None = None


def crashpoint(name: str) -> None:
    """Here the process may die. A call and a comparison, unless a test has armed it."""
    if _armed is not None:
        _armed(name)


def arm(strike: Callable[[str], None] | None) -> None:
    """For tests: what every crash point of this process calls with its name; None for nothing."""
    global _armed  # noqa: PLW0603 - one process, one fault
    _armed = strike


NAMES: Final = (
    *("start.begun", "start.written", "expect.told"),
    *("claim.begun", "claim.committed"),
    *("turn.begun", "turn.folded", "turn.left", "turn.dropped"),
    *("step.begun", "step.returned"),
    *("append.begun", "append.sent", "append.committed", "append.known"),
    *("batch.begun", "batch.committed"),
    *("intent.begun", "intent.committed", "result.begun", "result.committed"),
    *("value.begun", "value.stored"),
    *("chunk.taken", "items.begun", "items.committed", "chunk.begun", "chunk.committed"),
    *("runs.begun", "runs.committed", "park.begun", "park.committed"),
    *("home.begun", "home.committed"),
    *("undo.begun", "undo.committed", "unruns.begun", "unruns.committed"),
    *("reduce.begun", "reduce.ended"),
    *("beat.begun", "beat.committed", "reap.committed", "timers.committed"),
    *("relay.read", "relay.announced", "relay.committed"),
    *("drain.begun", "drain.released"),
)
"""All of them; a test holds the list and the calls together.

`begun`: nothing has been sent. `committed`: the database has done it and nobody here knows.
"""
