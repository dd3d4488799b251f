"""The engine inside a worker process: claims runs, gives each a turn, keeps the lease."""

from __future__ import annotations

import logging
import os
import random
import socket
import threading
import time
from collections.abc import Callable, Collection
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final, TypeAlias

from apps.executions.engine.history import Event
from apps.executions.engine.ports import StepCall, StepRunner, StopReason
from apps.executions.engine.slice import GRACE
from apps.executions.engine.slice_ports import ChunkClaim, Claim, TaskClaim
from apps.executions.engine.step import SLOTS_LIMIT
from apps.executions.store import statements
from apps.executions.store.connections import Connection, Connections
from apps.executions.store.resilient import read_surely
from apps.executions.store.writer import Writer
from apps.executions.worker.chunk_turn import ChunkTurn
from apps.executions.worker.lease import Lease
from apps.executions.worker.logs import LogBook
from apps.executions.worker.places import Places
from apps.executions.worker.plans import DocumentSource, Plans
from apps.executions.worker.pool import Pace
from apps.executions.worker.readings import Readings
from apps.executions.worker.settings import Hooks, LoopSettings
from apps.executions.worker.task_turn import TaskTurn
from apps.executions.worker.turn import Shop, Turn, Warm
from apps.workflows.graph.catalogue import Catalogue

logger = logging.getLogger(__name__)

STALE_SECONDS: Final = 1.0
"""A claimed run that has waited so long for a thread is given back."""
LOOK_SECONDS: Final = 1.0
SOON_SECONDS: Final = 0.05
TICK_SECONDS: Final = 1.0

AnyTurn: TypeAlias = Turn | TaskTurn | ChunkTurn


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
        self._asked = threading.Event()
        self._connections = Connections(settings.conninfo)
        self._lease = Lease(trust_seconds=settings.trust_seconds)
        self._writer = Writer(self._connections, self._lease)
        self._logs = LogBook(
            self._connections, now=self._lease.now, tell=lambda run_id: hooks.tell(run_id, 0)
        )
        self._runner = runner
        # A pool of threads for each pool of work: tasks never wait behind runs.
        self._threads = {
            pool: ThreadPoolExecutor(settings.places(pool), thread_name_prefix=f"engine-{pool}")
            for pool in settings.pools
        }
        self._places = Places({pool: settings.places(pool) for pool in settings.pools})
        self._steps = ThreadPoolExecutor(
            settings.runs_at_once * SLOTS_LIMIT + settings.tasks_at_once * len(settings.pools),
            thread_name_prefix="engine-step",
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
            readings=Readings(self._tail),
            open_objects=hooks.open_objects,
            ring=self._ring_pools,
            read_key=hooks.read_key,
            asked=self._asked.set,
        )
        self._warm = Warm()
        self._lock = threading.Lock()
        self._turns: dict[int, tuple[AnyTurn, Future[None]]] = {}
        self._crowded = False
        self._has_abandoned = False
        self._orphans: set[int] = set()
        self._bell, self._rung = threading.Event(), threading.Event()
        self._wanted = set(settings.pools)
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
            slots=sum(map(settings.places, settings.pools)),
            lease_seconds=settings.lease_seconds,
            labels=settings.labels,
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

    def ring(self, pool: str | None = None) -> None:
        """There may be work or mail: look now, in one pool or in all."""
        self._rung.set()
        self._look(self.settings.pools if pool is None else (pool,))

    def has_room(self, pool: str) -> bool:
        """Whether a ring for that pool would be of use here."""
        return self._room(pool) > 0

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
        self._asked.set()
        for helper in self._helpers:
            helper.join(timeout=2)
        self._writer.close()
        self._logs.close()
        for threads in self._threads.values():
            threads.shutdown(wait=False, cancel_futures=True)
        self._steps.shutdown(wait=False, cancel_futures=True)
        worker_id = self.settings.worker_id
        self._quietly(statements.release, worker_id=worker_id, items=None)
        self._quietly(statements.leave, worker_id=worker_id)
        self._runner.close()
        self._connections.close_all()
        self._shop.items.close()

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
            if claimed:
                self._look(self.settings.pools)
            else:
                # A round looks at a few lanes only; with room left the next one looks on soon.
                has_room = any(map(self._room, self.settings.pools))
                pause = SOON_SECONDS if self._crowded and has_room else LOOK_SECONDS
                if not self._bell.wait(pause * random.uniform(0.8, 1.2)):  # noqa: S311
                    self._look(self.settings.pools)

    def _claim_all(self) -> bool:
        """One round over the pools; whether a pool may have more than there was room for."""
        if self._draining.is_set() or self._lease.is_lost():
            return False
        claimed = False
        with self._lock:
            wanted, self._wanted = self._wanted, set()
        for pool in self.settings.pools:
            if pool not in wanted:
                continue
            room = self._room(pool)
            if room <= 0:
                continue
            claims = statements.claim(
                self._connections.get(),
                worker_id=self.settings.worker_id,
                pool=pool,
                want=room,
                charges=self._places.charges(pool),
            )
            for claim in claims:
                self._dispatch(self._turn(claim))
            claimed = claimed or len(claims) >= room
        if not claimed:
            connection = self._connections.get()
            self._crowded = statements.is_crowded(connection, pools=self.settings.pools)
        return claimed

    def _look(self, pools: Collection[str]) -> None:
        """Let the claimer look into these."""
        with self._lock:
            self._wanted.update(pools)
        self._bell.set()

    def _room(self, pool: str) -> int:
        return 0 if self._draining.is_set() else self._places.room(pool)

    def _turn(self, claim: Claim) -> AnyTurn:
        if isinstance(claim, TaskClaim):
            return TaskTurn(claim, self._shop)
        if isinstance(claim, ChunkClaim):
            return ChunkTurn(claim, self._shop)
        return Turn(claim, self._shop, self._warm)

    def _dispatch(self, turn: AnyTurn) -> None:
        claim = turn.claim
        self._places.take(claim.pool)
        with self._lock:
            future = self._threads[claim.pool].submit(turn.run, self._done)
            self._turns[claim.item_id] = (turn, future)

    def _done(self, turn: AnyTurn) -> None:
        claim = turn.claim
        with self._lock:
            held = self._turns.get(claim.item_id)
            if held is not None and held[0] is turn:
                del self._turns[claim.item_id]
        self._places.done(claim, busy_ms=turn.busy_ms)
        if self._room(claim.pool) > 0:
            self._look((claim.pool,))

    def _read_mail(self) -> None:
        if not self._rung.is_set() or not self._turns:
            return
        self._rung.clear()
        found = statements.mail(self._connections.get(), worker_id=self.settings.worker_id)
        for turn, _ in self._held():
            if turn.claim.item_id in found:
                turn.notify()

    def _ring_pools(self, pools: Collection[str]) -> None:
        if mine := set(pools).intersection(self.settings.pools):
            self._rung.set()
            self._look(mine)
        self._hooks.ring(pools)

    def _tail(self, claim: Claim, after: int) -> list[Event]:
        return read_surely(
            self._connections, self._lease, lambda c: statements.history(c, claim, after=after)
        )

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
        tidy_at = time.monotonic() + TICK_SECONDS
        while True:
            self._asked.wait(max(0.0, tidy_at - time.monotonic()))
            self._asked.clear()
            if self._closing.is_set():
                return
            try:
                if time.monotonic() >= tidy_at:
                    tidy_at = time.monotonic() + TICK_SECONDS * random.uniform(0.7, 1.3)  # noqa: S311
                    self._tidy()
                self._hooks.tick()
            except Exception as error:
                logger.warning("tidying up failed: %s", error)
                self._connections.drop()

    def _tidy(self) -> None:
        connection = self._connections.get()
        ready = statements.reap(connection, lease_seconds=self.settings.lease_seconds)
        ready |= statements.fire_timers(connection)
        ready |= statements.open_gates(connection)
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
        held = {turn.claim.item_id for turn, _ in self._held()}
        orphans = set(leased) - held
        for item_id in orphans & self._orphans:
            statements.give_up(connection, item_id=item_id, token=leased[item_id], broken=False)
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
                    self._turns.pop(turn.claim.item_id, None)
                    self._places.give_back(turn.claim.pool)
            self._quietly(
                statements.release,
                worker_id=self.settings.worker_id,
                items=[turn.claim.item_id for turn in stale],
            )

    def _abandoned(self, call: StepCall) -> None:
        self._has_abandoned = True
        self._hooks.recycle(f"step {call.path} of run {call.run_id} cannot be stopped")

    def _held(self) -> list[tuple[AnyTurn, Future[None]]]:
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
