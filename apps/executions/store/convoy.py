"""Strict appends of one process: what comes while one is on its way goes together with the next."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Collection
from functools import partial
from typing import Final, Never
from uuid import UUID

import psycopg

from apps.executions.crashpoints import crashpoint
from apps.executions.store import appends
from apps.executions.store.connections import Connection, Connections
from apps.executions.store.resilient import line
from apps.executions.store.statements import Posted

logger = logging.getLogger(__name__)

MOST: Final = 64
"""Runs that go together."""
LOOK_SECONDS: Final = 1.0
"""Whoever waits looks again, whether it was rung for or not."""


class _Ticket:
    """One run's batch; `held` is the answer, None while there is none or when it was lost."""

    __slots__ = ("bell", "held", "is_over", "posted")

    def __init__(self, posted: Posted) -> None:
        self.posted = posted
        self.held: bool | None = None
        self.is_over = False
        self.bell: threading.Lock | None = None
        """Of the thread that waits for it."""


class _Flight:
    """What is on its way in one statement, until one of its owners has fetched the answer."""

    __slots__ = ("answer", "is_fetched", "line", "sent", "tickets")

    def __init__(self, tickets: list[_Ticket]) -> None:
        self.tickets = tickets
        self.is_fetched = False
        self.line: Connection | None = None
        self.answer: Callable[[], Collection[UUID]] = _nothing_sent
        self.sent = _closed()


class _Lane:
    """A tenant's: one flight at a time, and what goes with the next."""

    __slots__ = ("flight", "queue", "tenant_id")

    def __init__(self, tenant_id: UUID) -> None:
        self.tenant_id = tenant_id
        self.flight: _Flight | None = None
        self.queue: list[_Ticket] = []

    def board(self) -> _Flight:
        """The next flight, with all that waits for it; each run at most once."""
        waiting, runs = self.queue, set()
        taken: list[_Ticket] = []
        self.queue = []
        for ticket in waiting:
            run_id = ticket.posted.claim.run_id
            is_aboard = len(taken) < MOST and run_id not in runs
            (taken if is_aboard else self.queue).append(ticket)
            runs.add(run_id)
        self.flight = _Flight(taken)
        return self.flight


class Convoy:
    """Sends at once what comes alone; under load flights fill up by themselves.

    A flight has a connection of its own, and whoever waits first fetches its answer: its sender may
    still be busy with what comes next. Tenants never share one.
    """

    def __init__(self, connections: Connections) -> None:
        self.connections = connections
        """For those who go alone."""
        self._lock = threading.Lock()
        self._lanes: dict[UUID, _Lane] = {}
        self._idle: list[Connection] = []

    def begin(self, posted: Posted) -> Callable[[], bool]:
        """On its way, or next. What is returned waits for the answer: whether the fence held.

        It raises psycopg.OperationalError where nobody knows whether the append has happened.
        """
        ticket, tenant_id, flight = _Ticket(posted), posted.claim.tenant_id, None
        with self._lock:
            lane = self._lanes.get(tenant_id)
            if lane is None:
                lane = self._lanes[tenant_id] = _Lane(tenant_id)
            lane.queue.append(ticket)
            if lane.flight is None:
                flight = lane.board()
        if flight is not None:
            self._send(lane, flight)
        return partial(self._landed, lane, ticket)

    def _landed(self, lane: _Lane, ticket: _Ticket) -> bool:
        while not ticket.is_over:
            self._help(lane, ticket)
        if ticket.held is None:
            raise psycopg.OperationalError("the answer of a common append was lost")
        return ticket.held

    def _help(self, lane: _Lane, ticket: _Ticket) -> None:
        """Send what waits, fetch what nobody fetches, or wait for whoever does."""
        is_new = fetches = False
        with self._lock:
            if ticket.is_over:
                return
            flight = lane.flight
            if flight is None:
                flight, is_new = lane.board(), True
            if not flight.is_fetched:
                fetches = flight.is_fetched = True
            else:
                ticket.bell = bell = _closed()
        if is_new:
            self._send(lane, flight)
        if fetches:
            self._fetch(lane, flight)
        else:
            bell.acquire(timeout=LOOK_SECONDS)

    def _send(self, lane: _Lane, flight: _Flight) -> None:
        try:
            flight.line = line(self._free)
            flight.answer = appends.send(
                flight.line, lane.tenant_id, [one.posted for one in flight.tickets]
            )
        except BaseException as error:
            flight.answer = partial(_raise, error)
            if not isinstance(error, psycopg.Error):
                raise
        finally:
            flight.sent.release()
        crashpoint("append.sent")

    def _free(self) -> Connection:
        with self._lock:
            found = self._idle.pop() if self._idle else None
        return found or self.connections.open()

    def _fetch(self, lane: _Lane, flight: _Flight) -> None:
        held: Collection[UUID] | None = None
        try:
            flight.sent.acquire()
            held = flight.answer()
        except psycopg.Error as error:
            # Each owner asks where its run stands, and goes its own way.
            logger.warning("a common append met %s", type(error).__name__)
        finally:
            if held is None and flight.line is not None:
                self.connections.close(flight.line)
            self._over(lane, flight, held)

    def _over(self, lane: _Lane, flight: _Flight, held: Collection[UUID] | None) -> None:
        with self._lock:
            if held is not None and flight.line is not None:
                self._idle.append(flight.line)
            lane.flight = None
            for ticket in flight.tickets:
                ticket.held = None if held is None else ticket.posted.claim.run_id in held
                ticket.is_over = True
                _ring(ticket)
            if not lane.queue:
                del self._lanes[lane.tenant_id]
            elif waits := next((one for one in lane.queue if one.bell is not None), None):
                _ring(waits)


def _ring(ticket: _Ticket) -> None:
    bell, ticket.bell = ticket.bell, None
    if bell is not None:
        bell.release()


def _closed() -> threading.Lock:
    lock = threading.Lock()
    lock.acquire()
    return lock


def _nothing_sent() -> Never:
    raise psycopg.OperationalError("nothing was sent")


def _raise(error: BaseException) -> Never:
    raise error
