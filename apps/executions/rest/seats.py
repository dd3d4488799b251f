"""How many may wait at once, in this process: each holds a connection of a client open."""

from __future__ import annotations

import threading
import uuid
from collections import Counter
from types import TracebackType
from typing import Final

from apps.kit.errors import ErrorCode, Refusal

OF_A_PROCESS: Final = 256
OF_A_TENANT: Final = 64


class SeatsTaken(Refusal):
    """Too many calls wait already; nothing was started."""

    code = ErrorCode.RATE_LIMITED
    reason: Final = "WAITERS_FULL"
    retry_after_seconds: Final = 1

    def __init__(self) -> None:
        super().__init__(
            "Too many calls wait for the end of a run. Send wait=0 and look at the run later, or "
            "try again in a second.",
            path=("wait",),
        )


class Seats:
    """Of one process."""

    def __init__(self, *, most: int = OF_A_PROCESS, of_a_tenant: int = OF_A_TENANT) -> None:
        self.most = most
        self.of_a_tenant = of_a_tenant
        self.lock = threading.Lock()
        self.taken: Counter[uuid.UUID] = Counter()


SEATS: Final = Seats()


class Seat:
    """One call's: taken by a thread once the tenant is known, left by the call in any case."""

    def __init__(self, seats: Seats = SEATS) -> None:
        self._seats = seats
        self._tenant: uuid.UUID | None = None
        self._is_left = False

    def take(self, tenant_id: uuid.UUID) -> None:
        """Raises SeatsTaken; does nothing for a client that has gone meanwhile."""
        seats = self._seats
        with seats.lock:
            if self._is_left or self._tenant is not None:
                return
            of_a_tenant = seats.taken[tenant_id]
            if of_a_tenant >= seats.of_a_tenant or seats.taken.total() >= seats.most:
                raise SeatsTaken
            seats.taken[tenant_id] += 1
            self._tenant = tenant_id

    def __enter__(self) -> Seat:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        seats = self._seats
        with seats.lock:
            self._is_left = True
            if self._tenant is not None:
                seats.taken[self._tenant] -= 1
                if not seats.taken[self._tenant]:
                    del seats.taken[self._tenant]
