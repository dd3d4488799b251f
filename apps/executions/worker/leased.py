"""The turn of whatever a worker leased: work, and what is given back when it breaks off."""

from __future__ import annotations

import logging
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import ClassVar, Generic, Self, TypeVar

from structlog.contextvars import bound_contextvars

from apps.executions.crashpoints import crashpoint
from apps.executions.engine.ports import StopReason
from apps.executions.engine.slice_ports import Claim, LeaseLost
from apps.executions.store import statements
from apps.executions.store.resilient import is_outage
from apps.executions.worker.maps.pools import Pools
from apps.executions.worker.pool import SlicePool
from apps.executions.worker.shop import Shop
from apps.executions.worker.trouble import is_mismatch

logger = logging.getLogger(__name__)

C = TypeVar("C", bound=Claim)
P = TypeVar("P", SlicePool, Pools)


class LeasedTurn(ABC, Generic[C, P]):
    """One claim's turn. `run` is called once, on a thread of its own."""

    WHAT: ClassVar[str]
    """What the log calls it."""

    def __init__(self, claim: C, shop: Shop, pool: P) -> None:
        self.claim = claim
        self.shop = shop
        self.claimed_at = time.monotonic()
        self.busy_ms = 0.0
        self.pool: P = pool
        self.is_fenced = False
        """Somebody else may have it: the process gave it up, its thread is stuck in a step."""

    # --- told by the loop

    @abstractmethod
    def notify(self) -> None:
        """There is word for it."""

    def stop(self, reason: StopReason) -> None:
        """End running steps."""
        self.pool.stop(reason)

    def fence(self) -> None:
        """Whatever its thread still comes to is not recorded."""
        self.is_fenced = True
        self.pool.stop(StopReason.LEASE_LOST)

    def run(self, done: Callable[[Self], None]) -> None:
        """To the end of the turn; `done` is called once, whatever happens, when all is durable."""
        with bound_contextvars(
            run=str(self.claim.run_id),
            tenant=str(self.claim.tenant_id),
            worker=str(self.shop.worker_id),
        ):
            self._run()
            self._settle(lambda: done(self))

    def _run(self) -> None:
        began = time.monotonic()
        try:
            self._work()
        except LeaseLost:
            logger.info("the %s has another owner now, or its lease is in doubt", self.WHAT)
            self._drop(broken=False)
        except Exception as error:
            # An outage is nobody's death: three of them must not give up what was under way.
            mismatch = is_mismatch(error)
            broken = not (mismatch or is_outage(error))
            if broken:
                logger.exception("the %s broke off", self.WHAT)
            else:
                self.shop.trouble.met(f"the {self.WHAT} broke off", error)
            if mismatch:
                self.shop.trouble.hold_back()
            self._drop(broken=broken)
        else:
            if not self.shop.trouble.is_over:
                self.shop.trouble.end()
        self.busy_ms = (time.monotonic() - began) * 1000 * self.claim.slots

    @abstractmethod
    def _work(self) -> None:
        """All that there is to do."""

    def _settle(self, done: Callable[[], None]) -> None:
        """Call once what the work left behind is durable."""
        done()

    def _drop(self, *, broken: bool) -> None:
        """Give it back if it is still ours, ready for whoever comes."""
        self.pool.stop(StopReason.LEASE_LOST)
        connections = self.shop.connections
        try:
            crashpoint("turn.dropped")
            statements.give_up(
                connections.get(),
                item_id=self.claim.item_id,
                token=self.claim.token,
                broken=broken,
            )
        except Exception as error:
            # The loop finds an item without a turn, or the reaper one without a lease.
            self.shop.trouble.met("what was claimed was not given back", error)
            connections.drop()
