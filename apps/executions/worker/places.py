"""How much a process works on at once, pool by pool, and what its tenants owe for it."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Mapping
from typing import Final
from uuid import UUID

from apps.executions.engine.plan import RUN_POOL
from apps.executions.engine.slice_ports import Claim

AHEAD: Final = 8
"""Runs claimed before there is a thread for them, while turns are short."""
SHORT_TURN_MS: Final = 50.0
WORTH_MS: Final = 100.0
"""A smaller debt waits for the next claim: to write it costs more than it is."""


class Places:
    """Thread safe. `sizes`: how many items of each pool are worked on at once."""

    def __init__(self, sizes: Mapping[str, int]) -> None:
        self.sizes = sizes
        self._lock = threading.Lock()
        self._busy: Counter[str] = Counter()
        self._charges: dict[str, dict[UUID, float]] = {pool: {} for pool in sizes}
        self._owed: dict[str, dict[UUID, float]] = {pool: {} for pool in sizes}
        self._turn_ms = 0.0

    def room(self, pool: str) -> int:
        """How many items to claim now: no run until half the places ahead are free, then all."""
        is_short = pool == RUN_POOL and self._turn_ms < SHORT_TURN_MS
        ahead = AHEAD if is_short else 0
        free = self.sizes[pool] + ahead - self._busy[pool]
        return free if free > ahead // 2 else 0

    def has_waiting(self) -> bool:
        """Whether what was claimed ahead waits here for its thread."""
        return any(self._busy[pool] > size for pool, size in self.sizes.items())

    def take(self, pool: str) -> None:
        """One more item is here."""
        with self._lock:
            self._busy[pool] += 1

    def give_back(self, pool: str) -> None:
        """It was never begun."""
        with self._lock:
            self._busy[pool] -= 1

    def done(self, claim: Claim, *, busy_ms: float) -> None:
        """Its turn is over and cost so many slot-milliseconds."""
        with self._lock:
            self._busy[claim.pool] -= 1
            charges = self._charges[claim.pool]
            charges[claim.tenant_id] = charges.get(claim.tenant_id, 0.0) + busy_ms
            if claim.pool == RUN_POOL:
                self._turn_ms += 0.1 * (busy_ms - self._turn_ms)

    def charges(self, pool: str) -> dict[UUID, float]:
        """What tenants owe since the last question, in slot-milliseconds.

        Nothing of one whose debt is small yet: it has a place free again, that is all.
        """
        with self._lock:
            charges, self._charges[pool] = self._charges[pool], {}
            owed = self._owed[pool]
            for tenant, used in charges.items():
                debt = owed.pop(tenant, 0.0) + used
                is_small = debt < WORTH_MS
                if is_small:
                    owed[tenant] = debt
                charges[tenant] = 0.0 if is_small else debt
        return charges
