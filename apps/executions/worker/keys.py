"""The places that steps with a key take: one call of the database each, for one run's slice."""

from __future__ import annotations

import random
import uuid
from collections.abc import Callable
from typing import Final, TypeAlias

from apps.executions.engine.ports import StepCall, StepFailed
from apps.executions.engine.slice_ports import Busy, ChunkClaim, Claim
from apps.executions.store import statements
from apps.executions.store.resilient import Patience, Supply, read_surely
from apps.workflows.graph.shape import Concurrency

KeyReader: TypeAlias = Callable[[StepCall, str], str | StepFailed]

FIRST_SECONDS: Final = (0.1, 0.8)
"""Waited for in the slice."""
LATER_SECONDS: Final = (1.2, 2.5)
"""The run parks meanwhile, without a slot."""
_NAMES: Final = uuid.UUID("6f1c4b0e-7a55-4c0a-9f3e-0d5d7a1f2b90")


class KeyPlaces:
    """The places behind the gates of keys, for the steps of one claim."""

    def __init__(
        self, claim: Claim, connections: Supply, patience: Patience, *, read: KeyReader
    ) -> None:
        self._claim = claim
        self._item_id = claim.item_id if isinstance(claim, ChunkClaim) else None
        self._connections = connections
        self._patience = patience
        self._read = read

    def gate(self, call: StepCall, bound: Concurrency, *, shared: bool) -> uuid.UUID | StepFailed:
        """What a step has to pass, by workflow, node and key; a failure where the key has none."""
        key = "" if bound.key is None else self._read(call, bound.key)
        if isinstance(key, StepFailed):
            return key
        scope = "" if shared else call.node.id
        return uuid.uuid5(_NAMES, f"{call.workflow_id}\0{scope}\0{key}")

    def take(self, call: StepCall, gate: uuid.UUID, *, most: int) -> bool:
        """Whether the step has a place now. Raises LeaseLost when the lease is over."""
        return read_surely(
            self._connections,
            self._patience,
            lambda connection: statements.enter_key(
                connection, call, gate, most=most, item_id=self._item_id
            ),
        )

    def leave(self, path: str) -> None:
        """Give the place back."""
        read_surely(
            self._connections,
            self._patience,
            lambda connection: statements.leave_key(connection, self._claim, path=path),
        )


class TurnKeys:
    """The engine's KeyGates for one turn of a run."""

    def __init__(self, places: KeyPlaces) -> None:
        self._places = places
        self._asked: set[str] = set()

    def enter(
        self, call: StepCall, bound: Concurrency, *, shared: bool
    ) -> Busy | StepFailed | None:
        """Take a place; None when it is ours. Raises LeaseLost when the lease is over."""
        gate = self._places.gate(call, bound, shared=shared)
        if isinstance(gate, StepFailed):
            return gate
        if self._places.take(call, gate, most=bound.limit):
            return None
        span = LATER_SECONDS if call.path in self._asked else FIRST_SECONDS
        self._asked.add(call.path)
        return Busy(seconds=random.uniform(*span))  # noqa: S311 - jitter

    def leave(self, path: str) -> None:
        """Give the place back."""
        self._places.leave(path)
