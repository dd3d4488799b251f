"""A worker's place in the database: its row, its lease, and what it holds without need."""

from __future__ import annotations

import logging
import os
import random
import socket
import threading
import time
from collections.abc import Callable
from typing import Final

from apps.executions.engine.flight import GRACE
from apps.executions.engine.ports import StepCall
from apps.executions.store import item_runs, statements
from apps.executions.store.connections import Connection, Connections
from apps.executions.worker.lease import Lease
from apps.executions.worker.places import Places
from apps.executions.worker.settings import Hooks, LoopSettings
from apps.executions.worker.trouble import Trouble
from apps.executions.worker.turns import AnyTurn, Turns

logger = logging.getLogger(__name__)

STALE_SECONDS: Final = 1.0
"""A claimed run that has waited so long for a thread is given back."""
TICK_SECONDS: Final = 1.0
NEWS_SECONDS: Final = 0.02
"""What ends together is told together."""


class Keeper:
    """Renews the lease with each beat, and looks each second after what nobody else would."""

    def __init__(
        self,
        settings: LoopSettings,
        *,
        hooks: Hooks,
        connections: Connections,
        lease: Lease,
        turns: Turns,
        places: Places,
        ring: Callable[[], None],
    ) -> None:
        self._settings = settings
        self._hooks = hooks
        self._connections = connections
        self._lease = lease
        self._turns = turns
        self._places = places
        self._ring = ring
        self.trouble = Trouble()
        self._orphans: set[int] = set()
        self._draining = threading.Event()
        self._closing = threading.Event()
        self.asked = threading.Event()
        """A wait has something to ask of the rest of the product."""
        self.news = threading.Event()
        """An item has ended that is a run of its own, or a chunk of such a map is called."""
        self.has_abandoned = False

    def is_draining(self) -> bool:
        """Nothing more starts here."""
        return self._draining.is_set()

    def is_closing(self) -> bool:
        """All threads end."""
        return self._closing.is_set()

    def close(self) -> None:
        """End the threads."""
        self._closing.set()
        self.asked.set()
        self.news.set()

    def pause(self, seconds: float) -> None:
        """Sleep, but not past the end."""
        self._closing.wait(seconds)

    def register(self) -> None:
        """Take a lease. Raises psycopg.OperationalError without a server."""
        settings = self._settings
        sent_at = time.monotonic()
        statements.register(
            self._connections.get(),
            worker_id=settings.worker_id,
            host=socket.gethostname(),
            pid=os.getpid(),
            pools=settings.pools,
            slots=sum(map(settings.places, settings.pools)),
            lease_seconds=settings.lease_seconds,
            labels=settings.labels,
        )
        self._beat(sent_at)

    def beats(self) -> None:
        """Renew the lease until the process closes, or was declared dead."""
        connections = Connections(self._settings.conninfo)
        while not self._closing.wait(self._settings.beat_seconds):
            sent_at = time.monotonic()
            try:
                self._beat(sent_at, connections)
            except Exception as error:
                self.trouble.met("the heartbeat failed", error)
                connections.drop()
            if self._lease.is_lost():
                self._turns.nudge_all()
            if self._lease.is_dead():
                logger.error("worker %s was declared dead", self._settings.worker_id)
                self._hooks.recycle("its lease is over")
                break
            # A cancellation reaches a run within a beat, whatever became of the bell.
            self._ring()
        connections.close_all()

    def _beat(self, sent_at: float, connections: Connections | None = None) -> None:
        database_time = statements.beat(
            (connections or self._connections).get(),
            worker_id=self._settings.worker_id,
            lease_seconds=self._settings.lease_seconds,
        )
        if database_time is None:
            self._lease.die()
        else:
            self._lease.renewed(sent_at=sent_at, database_time=database_time)

    def ticks(self) -> None:
        """See to what the rest of the product is to hear, each second and when something asks."""
        while True:
            self.asked.wait(_about(TICK_SECONDS))
            self.asked.clear()
            if self._closing.is_set():
                return
            try:
                self._hooks.tick()
            except Exception as error:
                self.trouble.met("what was asked is asked again", error)

    def tidies(self) -> None:
        """Tidy up each second; wake chunks whose items' runs have ended, when there is news.

        Never behind a tick: what the dead held must not wait for what others have to hear.
        """
        tidy_at = time.monotonic() + _about(TICK_SECONDS)
        while True:
            if self.news.wait(max(0.0, tidy_at - time.monotonic())):
                self.pause(NEWS_SECONDS)
            self.news.clear()
            if self._closing.is_set():
                return
            try:
                if time.monotonic() >= tidy_at:
                    tidy_at = time.monotonic() + _about(TICK_SECONDS)
                    self._tidy()
                if item_runs.wake(self._connections.get()).intersection(self._settings.pools):
                    self._ring()
            except Exception as error:
                self.trouble.met("tidying up failed", error)
                self._connections.drop()

    def _tidy(self) -> None:
        connection = self._connections.get()
        ready = statements.reap(connection, lease_seconds=self._settings.lease_seconds)
        if ready & set(self._settings.pools):
            self._ring()  # The rest may take a while.
        ready |= statements.tidy(connection)
        ready |= statements.fire_timers(connection)
        ready |= statements.wake(connection)
        ready |= statements.open_gates(connection)
        if statements.is_told_to_drain(connection, worker_id=self._settings.worker_id):
            self._draining.set()
        if ready & set(self._settings.pools):
            self._ring()
        if elsewhere := ready.difference(self._settings.pools):
            self._hooks.ring(elsewhere)
        self.give_back(older_than=STALE_SECONDS)
        self._give_up_orphans(connection)
        overdue = self._lease.now() - GRACE
        for turn in self._turns.all():
            if (call := turn.pool.overdue(before=overdue)) is not None:
                self._fence(connection, turn)
                self.abandoned(call)

    def _fence(self, connection: Connection, turn: AnyTurn) -> None:
        """A turn inside a step that does not end: others have its item at once."""
        turn.fence()
        claim = turn.claim
        statements.give_up(connection, item_id=claim.item_id, token=claim.token, broken=True)
        self._turns.remove(turn)
        self._hooks.ring((claim.pool,))

    def _give_up_orphans(self, connection: Connection) -> None:
        """Items of ours without a turn: a claim whose reply was lost, a turn that could not end.

        Those seen twice: between a claim and its turn there is a moment.
        """
        leased = statements.leased(connection, worker_id=self._settings.worker_id)
        held = {turn.claim.item_id for turn in self._turns.all()}
        orphans = set(leased) - held
        for item_id in orphans & self._orphans:
            statements.give_up(connection, item_id=item_id, token=leased[item_id], broken=False)
        self._orphans = orphans

    def give_back(self, *, older_than: float) -> None:
        """Runs that wait for a thread: another process may have one."""
        stale = self._turns.stale(before=time.monotonic() - older_than)
        for turn in stale:
            self._places.give_back(turn.claim.pool)
        if stale:
            self._quietly(
                statements.release,
                worker_id=self._settings.worker_id,
                items=[turn.claim.item_id for turn in stale],
            )

    def abandoned(self, call: StepCall) -> None:
        """A step does not end although it was told to: a new process shall take our place."""
        self.has_abandoned = True
        # The next attempt would be stuck here as well.
        self._draining.set()
        self._hooks.recycle(f"step {call.path} of run {call.run_id} cannot be stopped")

    # --- leaving

    def start_draining(self) -> None:
        """Nothing more is claimed here, and others know."""
        self._draining.set()
        self._quietly(statements.start_draining, worker_id=self._settings.worker_id)
        self.give_back(older_than=0.0)

    def leave(self) -> None:
        """All that is still held, and the lease."""
        worker_id = self._settings.worker_id
        self._quietly(statements.release, worker_id=worker_id, items=None)
        self._quietly(statements.leave, worker_id=worker_id)

    def _quietly(self, statement: Callable[..., None], **arguments: object) -> None:
        """At the end of a process: what fails here is done by the reaper instead."""
        try:
            statement(self._connections.get(), **arguments)
        except Exception as error:
            logger.warning("%s failed: %s", getattr(statement, "__name__", "?"), error)
            self._connections.drop()


def _about(seconds: float) -> float:
    """So that processes do not look all at once."""
    return seconds * random.uniform(0.7, 1.3)  # noqa: S311
