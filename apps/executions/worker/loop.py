"""The engine inside a worker process: claims runs, gives each a turn, keeps the lease."""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from typing import Final
from uuid import UUID

from apps.executions.crashpoints import crashpoint
from apps.executions.engine.history import Event
from apps.executions.engine.ports import StepRunner, StopReason
from apps.executions.engine.slice_ports import ChunkClaim, Claim, TaskClaim
from apps.executions.engine.step import SLOTS_LIMIT
from apps.executions.store import statements
from apps.executions.store.connections import Connections
from apps.executions.store.convoy import Convoy
from apps.executions.store.resilient import read_surely
from apps.executions.store.writer import Writer
from apps.executions.worker.chunk_turn import ChunkTurn
from apps.executions.worker.expecting import HASTE_SECONDS, Expecting
from apps.executions.worker.keeping import Keeper
from apps.executions.worker.lease import Lease
from apps.executions.worker.logs import LogBook
from apps.executions.worker.places import Places
from apps.executions.worker.plans import DocumentSource, Plans
from apps.executions.worker.pool import Pace
from apps.executions.worker.readings import Readings
from apps.executions.worker.settings import Hooks, LoopSettings
from apps.executions.worker.shop import Shop
from apps.executions.worker.task_turn import TaskTurn
from apps.executions.worker.trouble import is_mismatch
from apps.executions.worker.turn import Turn, Warm
from apps.executions.worker.turns import AnyTurn, Turns
from apps.workflows.graph.catalogue import Catalogue
from apps.workflows.graph.document import Document

logger = logging.getLogger(__name__)

LOOK_SECONDS: Final = 1.0
SOON_SECONDS: Final = 0.05


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
        self._turns = Turns()
        self._keeper = Keeper(
            settings,
            hooks=hooks,
            connections=self._connections,
            lease=self._lease,
            turns=self._turns,
            places=self._places,
            ring=self.ring,
        )
        self._trouble = self._keeper.trouble
        self._steps = ThreadPoolExecutor(
            settings.runs_at_once * SLOTS_LIMIT + sum(map(settings.places, settings.pools)),
            thread_name_prefix="engine-step",
        )
        self._warm = Warm()
        self._lock = threading.Lock()
        self._crowded = False
        self._bell, self._rung = threading.Event(), threading.Event()
        self._wanted = set(settings.pools)
        self._expecting = Expecting()
        self._helpers: list[threading.Thread] = []
        self._shop = self._open_shop(Plans(self._patiently(documents), catalogue))

    def _open_shop(self, plans: Plans) -> Shop:
        return Shop(
            connections=self._connections,
            convoy=Convoy(self._connections),
            writer=self._writer,
            lease=self._lease,
            plans=plans,
            runner=self._runner,
            steps=self._steps,
            pace=Pace(),
            logs=self._logs,
            tell=self._hooks.tell,
            is_draining=self._keeper.is_draining,
            is_crowded=lambda: self._crowded or self._places.has_waiting(),
            on_abandoned=self._keeper.abandoned,
            worker_id=self.settings.worker_id,
            readings=Readings(self._tail),
            open_objects=self._hooks.open_objects,
            ring=self._ring_pools,
            read_key=self._hooks.read_key,
            asked=self._keeper.asked.set,
            news=self._keeper.news.set,
            trouble=self._trouble,
        )

    # --- from outside

    def start(self) -> None:
        """Take a lease and begin to claim. Raises psycopg.OperationalError without a server."""
        settings = self.settings
        self._keeper.register()
        for name, target in (
            ("beat", self._keeper.beats),
            ("claim", self._claims),
            ("tick", self._keeper.ticks),
            ("tidy", self._keeper.tidies),
        ):
            helper = threading.Thread(target=target, name=f"engine-{name}", daemon=True)
            helper.start()
            self._helpers.append(helper)
        logger.info("worker %s serves %s", settings.worker_id, ", ".join(settings.pools))

    def ring(self, pool: str | None = None) -> None:
        """There may be work or mail: look now, in one pool or in all."""
        self._rung.set()
        self._look(self.settings.pools if pool is None else (pool,))

    def expect(self, run_id: UUID, pool: str) -> None:
        """A run is about to be written: look for it until it is there, or its time is over."""
        crashpoint("expect.told")
        if self._room(pool) > 0:
            self._expecting.add(run_id, pool)
        self._look((pool,))

    def has_room(self, pool: str) -> bool:
        """Whether a ring for that pool would be of use here."""
        return self._room(pool) > 0

    def is_stuck(self) -> bool:
        """Whether a step did not end although it was told to."""
        return bool(self._turns) or self._keeper.has_abandoned

    def drain(self, *, seconds: float) -> None:
        """Start nothing more, wait for what runs, give the rest back. Then `stop`."""
        self._keeper.start_draining()
        until = time.monotonic() + seconds
        while self._turns and time.monotonic() < until:
            self._turns.nudge_all()
            time.sleep(0.02)
        for turn in self._turns.all():
            turn.stop(StopReason.DRAINING)
        until = time.monotonic() + 1.0
        while self._turns and time.monotonic() < until:
            time.sleep(0.02)

    def stop(self, *, seconds: float = 0.0) -> None:
        """Drain, give the lease back, end all threads. A step that does not end is left behind."""
        self.drain(seconds=seconds)
        self._keeper.close()
        self._bell.set()
        for helper in self._helpers:
            helper.join(timeout=2)
        self._writer.close()
        self._logs.close()
        for threads in self._threads.values():
            threads.shutdown(wait=False, cancel_futures=True)
        self._steps.shutdown(wait=False, cancel_futures=True)
        self._keeper.leave()
        self._runner.close()
        self._connections.close_all()
        self._shop.items.close()

    # --- claiming

    def _claims(self) -> None:
        while not self._keeper.is_closing():
            self._bell.clear()
            if not self._trouble.is_over:
                self._keeper.pause(self._trouble.pause())
            try:
                self._read_mail()
                more = self._claim_all()
            except Exception as error:
                self._trouble.met("claiming failed", error)
                self._connections.drop()
                more = set()
                if is_mismatch(error):
                    self._trouble.hold_back()
                else:
                    self._keeper.pause(random.uniform(0.1, 1.0))  # noqa: S311
            if more:
                self._look(more)
            elif hasty := self._expecting.pools():
                self._bell.wait(HASTE_SECONDS)
                self._look(hasty)
            else:
                # A round looks at a few lanes only; with room left the next one looks on soon.
                has_room = any(map(self._room, self.settings.pools))
                pause = SOON_SECONDS if self._crowded and has_room else LOOK_SECONDS
                if not self._bell.wait(pause * random.uniform(0.8, 1.2)):  # noqa: S311
                    self._look(self.settings.pools)

    def _claim_all(self) -> set[str]:
        """One round over the pools; those that may have more than there was room for."""
        more: set[str] = set()
        has_claimed = False
        if self._keeper.is_draining() or self._lease.is_lost():
            return more
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
                expected=self._expecting.first(pool),
            )
            for claim in claims:
                self._dispatch(self._turn(claim))
            self._expecting.met(claim.run_id for claim in claims)
            has_claimed = has_claimed or bool(claims)
            if len(claims) >= room:
                more.add(pool)
        if not more and (has_claimed or not self._expecting):
            # A lane keeps its flag until a claim comes back from it with nothing.
            self._crowded = has_claimed or statements.is_crowded(
                self._connections.get(), pools=self.settings.pools
            )
        return more

    def _look(self, pools: Collection[str]) -> None:
        """Let the claimer look into these."""
        with self._lock:
            self._wanted.update(pools)
        self._bell.set()

    def _room(self, pool: str) -> int:
        return 0 if self._keeper.is_draining() else self._places.room(pool)

    def _turn(self, claim: Claim) -> AnyTurn:
        if isinstance(claim, TaskClaim):
            return TaskTurn(claim, self._shop)
        if isinstance(claim, ChunkClaim):
            return ChunkTurn(claim, self._shop)
        return Turn(claim, self._shop, self._warm)

    def _dispatch(self, turn: AnyTurn) -> None:
        claim = turn.claim
        self._places.take(claim.pool)
        self._turns.add(turn, self._threads[claim.pool], self._done)

    def _done(self, turn: AnyTurn) -> None:
        claim = turn.claim
        self._turns.remove(turn)
        self._places.done(claim, busy_ms=turn.busy_ms)
        if self._room(claim.pool) > 0:
            self._look((claim.pool,))

    def _read_mail(self) -> None:
        if not self._rung.is_set() or not self._turns:
            return
        self._rung.clear()
        found = statements.mail(self._connections.get(), worker_id=self.settings.worker_id)
        for turn in self._turns.all():
            if turn.claim.item_id in found:
                turn.notify()

    def _ring_pools(self, pools: Collection[str]) -> None:
        if mine := set(pools).intersection(self.settings.pools):
            self._rung.set()
            self._look(mine)
        self._hooks.ring(pools)

    def _patiently(self, documents: DocumentSource) -> DocumentSource:
        """A database that does not answer is waited for: no run has died of that."""

        def read(claim: Claim) -> Document:
            return read_surely(self._connections, self._lease, lambda _: documents(claim))

        return read

    def _tail(self, claim: Claim, after: int) -> list[Event]:
        return read_surely(
            self._connections, self._lease, lambda c: statements.history(c, claim, after=after)
        )
