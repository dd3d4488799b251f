"""The turns of one process, each with the thread that has it or will."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import TypeAlias

from apps.executions.worker.chunk_turn import ChunkTurn
from apps.executions.worker.task_turn import TaskTurn
from apps.executions.worker.turn import Turn

AnyTurn: TypeAlias = Turn | TaskTurn | ChunkTurn


class Turns:
    """By the item each holds. Thread safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._held: dict[int, tuple[AnyTurn, Future[None]]] = {}

    def __bool__(self) -> bool:
        """Whether there is any."""
        return bool(self._held)

    def add(self, turn: AnyTurn, threads: Executor, done: Callable[[AnyTurn], None]) -> None:
        """Let a thread have it, and remember it before it can be done."""
        with self._lock:
            future = threads.submit(turn.run, done)
            self._held[turn.claim.item_id] = (turn, future)

    def remove(self, turn: AnyTurn) -> None:
        """It is done; whoever claimed the item since keeps his."""
        with self._lock:
            held = self._held.get(turn.claim.item_id)
            if held is not None and held[0] is turn:
                del self._held[turn.claim.item_id]

    def all(self) -> list[AnyTurn]:
        """All there are now."""
        with self._lock:
            return [turn for turn, _ in self._held.values()]

    def stale(self, *, before: float) -> list[AnyTurn]:
        """Take out those that were claimed before that and no thread has begun."""
        with self._lock:
            found = [
                turn
                for turn, future in self._held.values()
                if turn.claimed_at <= before and future.cancel()
            ]
            for turn in found:
                del self._held[turn.claim.item_id]
        return found

    def nudge_all(self) -> None:
        """Let each look at what its process knows."""
        for turn in self.all():
            turn.pool.nudge()
