"""The keys of a chunk's items: one of them asks the database for all that want the same key."""

from __future__ import annotations

import random
import threading
import time
import uuid
from collections import defaultdict, deque
from typing import Final

from apps.executions.engine.ports import StepCall, StepFailed
from apps.executions.engine.slice_ports import Busy
from apps.executions.worker.keys import LATER_SECONDS, KeyPlaces
from apps.workflows.graph.shape import Concurrency

LEAST_SECONDS: Final = 1.1
"""Longer than an item would wait on its thread: it parks, and the thread takes another."""


class ChunkKeys:
    """The engine's KeyGates for the items of a chunk. Thread safe."""

    def __init__(self, places: KeyPlaces) -> None:
        self._places = places
        self._lock = threading.Lock()
        self._shut: dict[uuid.UUID, float] = {}
        """When somebody may ask at a gate again that had no place."""
        self._held: dict[str, uuid.UUID] = {}
        self._lines: defaultdict[uuid.UUID, deque[str]] = defaultdict(deque)
        """Steps that wait at a gate, the first first."""
        self._called: set[str] = set()

    def enter(
        self, call: StepCall, bound: Concurrency, *, shared: bool
    ) -> Busy | StepFailed | None:
        """Take a place; None when it is ours. Raises LeaseLost when the lease is over."""
        gate = self._places.gate(call, bound, shared=shared)
        if isinstance(gate, StepFailed):
            return gate
        with self._lock:
            self._called.discard(call.path)
            seconds = self._shut.get(gate, 0.0) - time.monotonic()
        if seconds <= 0 and self._places.take(call, gate, most=bound.limit):
            with self._lock:
                self._held[call.path] = gate
                self._shut.pop(gate, None)
                if call.path in self._lines[gate]:
                    self._lines[gate].remove(call.path)
            return None
        with self._lock:
            if seconds <= 0:
                seconds = random.uniform(*LATER_SECONDS)  # noqa: S311 - jitter
                self._shut[gate] = time.monotonic() + seconds
            if call.path not in self._lines[gate]:
                self._lines[gate].append(call.path)
        return Busy(seconds=max(seconds, LEAST_SECONDS))

    def leave(self, path: str) -> None:
        """Give the place back; the next of this chunk that waits for one is called."""
        self._places.leave(path)
        with self._lock:
            gate = self._held.pop(path, None)
            if gate is not None and (line := self._lines[gate]):
                self._shut.pop(gate, None)
                self._called.add(line.popleft())

    def is_called(self, prefix: str) -> bool:
        """Whether a step whose path begins so may look again, before its time."""
        if not self._called:
            return False
        with self._lock:
            return any(path.startswith(prefix) for path in self._called)
