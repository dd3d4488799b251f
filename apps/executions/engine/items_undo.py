"""How far a run has come with undoing what a map's items did: chunk by chunk, the last first."""

from __future__ import annotations

from collections import deque


class ItemsUndo:
    """What the events of undoing one map amount to."""

    __slots__ = ("again", "is_recalled", "misses", "next", "open")

    def __init__(self, chunks: int) -> None:
        """`chunks`: so many were handed out."""
        self.next = chunks - 1
        self.open: dict[int, None] = {}
        self.again: deque[int] = deque()
        self.misses = 0
        """Steps that could not be undone."""
        self.is_recalled = False
        """The open chunks were asked to stop; noted by their owner, not by history."""

    @property
    def is_over(self) -> bool:
        """Every chunk has come back."""
        return self.next < 0 and not self.open and not self.again

    def due(self, most: int) -> list[int]:
        """The chunks to hand out now, at most so many open at once."""
        room = max(most - len(self.open), 0)
        fresh = range(self.next, max(self.next - room, -1), -1)
        return [*self.again, *fresh][:room]

    def went(self, chunk: int) -> None:
        """One is handed out."""
        self.open[chunk] = None
        if self.again and self.again[0] == chunk:
            self.again.popleft()
        else:
            self.next = chunk - 1

    def came(self, chunk: int, *, misses: int, stopped: bool) -> None:
        """One came back; `stopped`: before its end."""
        del self.open[chunk]
        self.misses += misses
        if stopped:
            self.again.append(chunk)
        self.is_recalled = self.is_recalled and bool(self.open)
