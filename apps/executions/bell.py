"""The loop that runs in this process, if one does: what a wake-up rings."""

from __future__ import annotations

import time
from typing import Final, Protocol

ECHO_SECONDS: Final = 0.05
"""A message that comes so soon after its bell says nothing new."""


class Rings(Protocol):
    """What can be rung."""

    def ring(self, pool: str) -> None:
        """There may be work in that pool: look now."""


_present: Final[dict[str, Rings]] = {}
_heard: Final[dict[str, float]] = {}


def install(pool: str, loop: Rings | None) -> None:
    """Make a loop the one that rings of its pool reach; None takes it away."""
    if loop is None:
        _present.pop(pool, None)
    else:
        _present[pool] = loop


def hear(pool: str) -> None:
    """The bell itself: the loop looks while the message behind it is still on its way."""
    loop = _present.get(pool)
    if loop is not None:
        _heard[pool] = time.monotonic()
        loop.ring(pool)


def ring(pool: str) -> None:
    """Reach the loop of a pool; nothing happens in a process that has none."""
    loop = _present.get(pool)
    if loop is not None and time.monotonic() - _heard.get(pool, 0.0) > ECHO_SECONDS:
        loop.ring(pool)
