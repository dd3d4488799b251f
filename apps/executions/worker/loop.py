"""The engine inside a worker process: claims runs, gives each a turn, keeps the lease."""

from __future__ import annotations

import logging
import os
import random
import socket
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Final
from uuid import UUID, uuid4

from apps.executions.engine.plan import SLOTS_LIMIT
from apps.executions.engine.ports import StepCall, StepRunner, StopReason
from apps.executions.engine.slice import GRACE
from apps.executions.store import statements
from apps.executions.store.connections import Connection, Connections
from apps.executions.store.writer import Writer
from apps.executions.worker.lease import BEAT_SECONDS, LEASE_SECONDS, TRUST_SECONDS, Lease
from apps.executions.worker.logs import LogBook
from apps.executions.worker.plans import DocumentSource, Plans
from apps.executions.worker.pool import Pace
from apps.executions.worker.turn import Shop, Turn, Warm
from apps.workflows.graph.catalogue import Catalogue

logger = logging.getLogger(__name__)

RUNS_AT_ONCE: Final = 8
AHEAD: Final = 8
"""Runs claimed before there is a thread for them, while turns are short."""
SHORT_TURN_MS: Final = 50.0
STALE_SECONDS: Final = 1.0
"""A claimed run that has waited so long for a thread is given back."""
LOOK_SECONDS: Final = 1.0
SOON_SECONDS: Final = 0.05
TICK_SECONDS: Final = 1.0


@dataclass(frozen=True, kw_only=True)
class LoopSettings:
    """How one process works; the defaults are the product's."""

    conninfo: str = field(repr=False)
    pools: Sequence[str]
    worker_id: UUID = field(default_factory=uuid4)
    runs_at_once: int = RUNS_AT_ONCE
    lease_seconds: float = LEASE_SECONDS
    beat_seconds: float = BEAT_SECONDS
    trust_seconds: float = TRUST_SECONDS


@dataclass(frozen=True, kw_only=True)
class Hooks:
    """What the loop tells the process around it; none may block for long."""

    tell: Callable[[UUID, int], None] = lambda _run_id, _head: None
    recycle: Callable[[str], None] = lambda _reason: None
    """The process should end soon and be replaced."""
    tick: Callable[[], None] = lambda: None
    """About once a second."""


class EngineLoop:
    """`start`, then `ring` whenever there may be work, then `stop`."""

    def __init__(
        self,
        settings: LoopSettings,
        *,
        runner: StepRunner,
        documents: DocumentSource,
        catalogue: Catalogue,
        hooks: Hooks,
    ) -> None:
        self.settings = settings
        self._hooks = hooks
        self._draining = threading.Event()
        self._closing = threading.Event()
        self._connections = Connections(settings.conninfo)
        self._lease = Lease(trust_seconds=settings.trust_seconds)
        self._writer = Writer(self._connections, self._lease)
        self._logs = LogBook(
            self._connections, now=self._lease.now, tell=lambda run_id: hooks.tell(run_id, 0)
        )
        self._runner = runner
        self._threads = ThreadPoolExecutor(settings.runs_at_once, thread_name_prefix="engine-run")
        self._steps = ThreadPoolExecutor(
            settings.runs_at_once * SLOTS_LIMIT, thread_name_prefix="engine-step"
        )
        self._shop = Shop(
            connections=self._connections,
            writer=self._writer,
            lease=self._lease,
            plans=Plans(documents, catalogue),
            runner=runner,
            steps=self._steps,
            pace=Pace(),
            logs=self._logs,
            tell=hooks.tell,
            is_draining=self._draining.is_set,
            is_crowded=lambda: self._crowded,
            on_abandoned=self._abandoned,
            worker_id=settings.worker_id,
        )
        self._warm = Warm()
        self._lock = threading.Lock()
        self._turns: dict[UUID, tuple[Turn, Future[None]]] = {}
        self._charges: dict[UUID, float] = {}
        self._turn_ms = 0.0
        self._crowded = False
        self._has_abandoned = False
        self._orphans: set[UUID] = set()
        self._bell = threading.Event()
        self._rung = threading.Event()
        self._helpers: list[threading.Thread] = []

    # --- from outside

    def start(self) -> None:
        """Take a lease and begin to claim. Raises psycopg.OperationalError without a server."""
        settings = self.settings
        sent_at = time.monotonic()
        statements.register(
            self._connections.get(),
            worker_id=settings.worker_id,
            host=socket.gethostname(),
            pid=os.getpid(),
            pools=settings.pools,
            slots=settings.runs_at_once,
            lease_seconds=settings.lease_seconds,
        )
        self._beat(sent_at)
        for name, target in (
            ("beat", self._beats),
            ("claim", self._claims),
            ("tick", self._ticks),
        ):
            helper = threading.Thread(target=target, name=f"engine-{name}", daemon=True)
            helper.start()
            self._helpers.append(helper)
        logger.info("worker %s serves %s", settings.worker_id, ", ".join(settings.pools))

    def ring(self) -> None:
        """There may be work or mail: look now."""
        self._rung.set()
        self._bell.set()

    def has_room(self) -> bool:
        """Whether a ring would be of use here."""
        return self._room() > 0

    def is_stuck(self) -> bool:
        """Whether a step did not end although it was told to."""
        return bool(self._turns) or self._has_abandoned

    def drain(self, *, seconds: float) -> None:
        """Start nothing more, wait for what runs, give the rest back. Then `stop`."""
        self._draining.set()
        self._quietly(statements.start_draining, worker_id=self.settings.worker_id)
        self._give_back(older_than=0.0)
        until = time.monotonic() + seconds
        while self._turns and time.monotonic() < until:
            self._nudge_all()
            time.sleep(0.02)
        for turn, _ in self._held():
            turn.stop(StopReason.DRAINING)
        until = time.monotonic() + 1.0
        while self._turns and time.monotonic() < until:
            time.sleep(0.02)

    def stop(self, *, seconds: float = 0.0) -> None:
        """Drain, give the lease back, end all threads. A step that does not end is left behind."""
        self.drain(seconds=seconds)
        self._closing.set()
        self._bell.set()
        for helper in self._helpers:
            helper.join(timeout=2)
        self._writer.close()
        self._logs.close()
        self._threads.shutdown(wait=False, cancel_futures=True)
        self._steps.shutdown(wait=False, cancel_futures=True)
        worker_id = self.settings.worker_id
        self._quietly(statements.release, worker_id=worker_id, items=None)
        self._quietly(statements.leave, worker_id=worker_id)
        self._runner.close()
        self._connections.close_all()

    # --- claiming

    def _claims(self) -> None:
        while not self._closing.is_set():
            self._bell.clear()
            try:
                self._read_mail()
                claimed = self._claim_all()
            except Exception as error:
                logger.warning("claiming failed: %s", error)
                self._connections.drop()
                claimed = False
                self._closing.wait(random.uniform(0.1, 1.0))  # noqa: S311
            if not claimed:
                # A round looks at a few lanes only; with room left the next one looks on soon.
                pause = SOON_SECONDS if self._crowded and self._room() > 0 else LOOK_SECONDS
                self._bell.wait(pause * random.uniform(0.8, 1.2))  # noqa: S311

    def _claim_all(self) -> bool:
        """One round over the pools; whether anything was claimed."""
        if self._draining.is_set() or self._lease.is_lost():
            return False
        claimed = False
        for pool in self.settings.pools:
            room = self._room()
            if room <= 0:
                break
            with self._lock:
                charges, self._charges = self._charges, {}
            claims = statements.claim(
                self._connections.get(),
                worker_id=self.settings.worker_id,
                pool=pool,
                want=room,
                charges=charges,
            )
            for claim in claims:
                self._dispatch(Turn(claim, self._shop, self._warm))
            claimed = claimed or bool(claims)
        if not claimed:
            connection = self._connections.get()
            self._crowded = statements.is_crowded(connection, pools=self.settings.pools)
        return claimed

    def _room(self) -> int:
        """How many runs to claim now: none until half the places ahead are free, then all."""
        if self._draining.is_set():
            return 0
        ahead = AHEAD if self._turn_ms < SHORT_TURN_MS else 0
        free = self.settings.runs_at_once + ahead - len(self._turns)
        return free if free > ahead // 2 else 0

    def _dispatch(self, turn: Turn) -> None:
        with self._lock:
            future = self._threads.submit(turn.run, self._done)
            self._turns[turn.claim.run_id] = (turn, future)

    def _done(self, turn: Turn) -> None:
        with self._lock:
            held = self._turns.get(turn.claim.run_id)
            if held is not None and held[0] is turn:
                del self._turns[turn.claim.run_id]
            tenant_id = turn.claim.tenant_id
            self._charges[tenant_id] = self._charges.get(tenant_id, 0.0) + turn.busy_ms
            self._turn_ms += 0.1 * (turn.busy_ms - self._turn_ms)
        if self._room() > 0:
            self._bell.set()

    def _read_mail(self) -> None:
        if not self._rung.is_set() or not self._turns:
            return
        self._rung.clear()
        for run_id in statements.mail(self._connections.get(), worker_id=self.settings.worker_id):
            held = self._turns.get(run_id)
            if held is not None:
                held[0].notify()

    # --- keeping

    def _beats(self) -> None:
        connections = Connections(self.settings.conninfo)
        while not self._closing.wait(self.settings.beat_seconds):
            sent_at = time.monotonic()
            try:
                self._beat(sent_at, connections)
            except Exception as error:
                logger.warning("the heartbeat failed: %s", error)
                connections.drop()
            if self._lease.is_lost():
                self._nudge_all()
            if self._lease.is_dead():
                logger.error("worker %s was declared dead", self.settings.worker_id)
                self._hooks.recycle("its lease is over")
                break
            # A cancellation reaches a run within a beat, whatever became of the bell.
            self.ring()
        connections.close_all()

    def _beat(self, sent_at: float, connections: Connections | None = None) -> None:
        database_time = statements.beat(
            (connections or self._connections).get(),
            worker_id=self.settings.worker_id,
            lease_seconds=self.settings.lease_seconds,
        )
        if database_time is None:
            self._lease.die()
        else:
            self._lease.renewed(sent_at=sent_at, database_time=database_time)

    def _ticks(self) -> None:
        while not self._closing.wait(TICK_SECONDS * random.uniform(0.7, 1.3)):  # noqa: S311
            try:
                self._tidy()
                self._hooks.tick()
            except Exception as error:
                logger.warning("tidying up failed: %s", error)
                self._connections.drop()

    def _tidy(self) -> None:
        connection = self._connections.get()
        ready = statements.reap(connection, lease_seconds=self.settings.lease_seconds)
        ready |= statements.fire_timers(connection)
        if statements.is_told_to_drain(connection, worker_id=self.settings.worker_id):
            self._draining.set()
        if ready & set(self.settings.pools):
            self.ring()
        self._give_back(older_than=STALE_SECONDS)
        self._give_up_orphans(connection)
        overdue = self._lease.now() - GRACE
        for turn, _ in self._held():
            if (call := turn.pool.overdue(before=overdue)) is not None:
                self._abandoned(call)

    def _give_up_orphans(self, connection: Connection) -> None:
        """Items of ours without a turn: a claim whose reply was lost, a turn that could not end.

        Those seen twice: between a claim and its turn there is a moment.
        """
        leased = statements.leased(connection, worker_id=self.settings.worker_id)
        held = {turn.claim.token for turn, _ in self._held()}
        orphans = set(leased) - held
        for token in orphans & self._orphans:
            statements.give_up(connection, item_id=leased[token], token=token, broken=False)
        self._orphans = orphans

    def _give_back(self, *, older_than: float) -> None:
        """Runs that wait for a thread: another process may have one."""
        before = time.monotonic() - older_than
        stale = [
            turn for turn, future in self._held() if turn.claimed_at <= before and future.cancel()
        ]
        if stale:
            with self._lock:
                for turn in stale:
                    self._turns.pop(turn.claim.run_id, None)
            self._quietly(
                statements.release,
                worker_id=self.settings.worker_id,
                items=[turn.claim.item_id for turn in stale],
            )

    def _abandoned(self, call: StepCall) -> None:
        self._has_abandoned = True
        self._hooks.recycle(f"step {call.path} of run {call.run_id} cannot be stopped")

    def _held(self) -> list[tuple[Turn, Future[None]]]:
        with self._lock:
            return list(self._turns.values())

    def _nudge_all(self) -> None:
        for turn, _ in self._held():
            turn.pool.nudge()

    def _quietly(self, statement: Callable[..., None], **arguments: object) -> None:
        """At the end of a process: what fails here is done by the reaper instead."""
        try:
            statement(self._connections.get(), **arguments)
        except Exception as error:
            logger.warning("%s failed: %s", getattr(statement, "__name__", "?"), error)
            self._connections.drop()
