"""The loop that runs in this process, if one does: what a wake-up rings."""

from __future__ import annotations

from typing import Final, Protocol
from uuid import UUID


class Rings(Protocol):
    """What can be rung."""

    def ring(self, pool: str) -> None:
        """There may be work in that pool: look now."""

    def expect(self, run_id: UUID, pool: str) -> None:
        """That run is about to be written: be there."""


_present: Final[dict[str, Rings]] = {}


def install(pool: str, loop: Rings | None) -> None:
    """Make a loop the one that rings of its pool reach; None takes it away."""
    if loop is None:
        _present.pop(pool, None)
    else:
        _present[pool] = loop


def ring(pool: str) -> None:
    """Reach the loop of a pool; nothing happens in a process that has none."""
    loop = _present.get(pool)
    if loop is not None:
        loop.ring(pool)


def expect(run_id: UUID, pool: str) -> None:
    """Let the loop of a pool be awake when that run is written."""
    loop = _present.get(pool)
    if loop is not None:
        loop.expect(run_id, pool)
