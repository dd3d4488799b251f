"""Many mixed runs in bad weather, and the reckoning when all have ended."""

from __future__ import annotations

import json
import os
import queue
import random
import subprocess
import sys
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, TypeVar

from django.db import InterfaceError, OperationalError, connection

from apps.executions.engine.wait_events import SignalReceived, signal_json
from apps.kit.ids import uuid7
from config.supervisor.backends import Backends
from tests import database
from tests.architecture.source import ROOT
from tests.chaos import house, mix, people
from tests.chaos.asking import ask
from tests.chaos.families import Families, Kin
from tests.chaos.matrix import RECOVERY_LIMIT, begin, trail
from tests.chaos.mix import Shape
from tests.chaos.monkeys import Crew, Monkey
from tests.chaos.nursery import Nursery
from tests.chaos.sink import Sink
from tests.chaos.table import Table
from tests.chaos.whereabouts import LOST, Whereabouts
from tests.factories.tenancy import Tenant

T = TypeVar("T")
LIVELY_SECONDS = 60.0
"""Without one event for so long while runs are open, something hangs."""
SHOWN = 5
KINDS = 60
PAUSE_SECONDS = 1.0
WORKERS = 8


@dataclass
class Storm:
    """One reckoning: its runs by id."""

    name: str
    seed: str
    tenants: Sequence[Tenant]
    servers: Backends
    runs: dict[str, tuple[Tenant, Shape]] = field(default_factory=dict)
    violations: list[str] = field(default_factory=list)
    later: list[tuple[float, uuid.UUID]] = field(default_factory=list)
    """Paused runs, and when somebody resumes each."""
    sources: list[uuid.UUID] = field(default_factory=list)
    """Runs that somebody goes on from when they have ended."""
    families: Families | None = None
    """Whose workflows the runs are, where they start each other."""
    has_questions: bool = False
    given_up: int = 0
    """Ended WORKER_LOST: three workers died with one step, which is what it is for."""
    items_given_up: int = 0
    """Items of maps, likewise."""

    def __post_init__(self) -> None:
        self.url = house.everything(self.servers)
        self._whereabouts = Whereabouts(self.url)
        self.chance = random.Random(f"{self.seed} {self.name}")

    def blow(
        self,
        table: Table,
        workers: Nursery,
        *,
        runs: int,
        draw: Callable[[random.Random], Shape],
        monkeys_of: Callable[[Crew], Sequence[Monkey]],
        due: float = RECOVERY_LIMIT,
        lasting: float = 0.0,
        shapes: dict[uuid.UUID, Shape] | None = None,
        **told: Any,
    ) -> None:
        """Start, wait, reckon, one row of the table; recovery is `due` in so many seconds.

        `lasting`: for so long runs are started, else one after the other.
        """
        if shapes is None:
            shapes = taught(workers, draw, self.chance, count=min(runs, KINDS))
        absorbed = workers.sink.absorbed()
        crew = Crew(workers, self.url, size=WORKERS, **told)
        try:
            for monkey in monkeys_of(crew):
                crew.also(monkey)
            began = time.monotonic()
            self._start(crew, shapes, runs, pause=lasting / runs)
            self._wait(crew)
            seconds = time.monotonic() - began
        finally:
            crew.close()
        self._chores(crew)
        self._reckon(workers.sink, crew)
        recoveries = crew.recoveries.seconds
        if recoveries and (p95 := percentile(recoveries, 0.95)) > due:
            self.violations.append(f"recovery p95 {p95:.1f} s, due in {due:g} s")
        table.row(
            f"{self.name} ({len(self.runs) / seconds:.0f} runs/s)",
            runs=len(self.runs),
            kills=crew.kills,
            fenced=crew.fenced(),
            absorbed=workers.sink.absorbed() - absorbed,
            recoveries=recoveries,
            violations=self.violations,
        )
        if crew.restarts or self.given_up or self.items_given_up:
            table.say(
                f"    {crew.restarts} restarts of PostgreSQL; {self.given_up} runs and"
                f" {self.items_given_up} items given up after three dead workers in a row"
            )
        if self.violations and (stalls := crew.stalls.told()):
            table.say(f"    {stalls}: repeat this storm alone before you believe it")
        if self.violations:
            table.say(workers.log_tail()[-1500:])

    def _start(
        self, crew: Crew, shapes: dict[uuid.UUID, Shape], runs: int, *, pause: float
    ) -> None:
        versions = list(shapes)
        for number in range(runs):
            version = versions[number % len(versions)]
            tenant = self.tenants[number % len(self.tenants)]
            shape = shapes[version]
            run_id = self._surely(lambda: self._begin(tenant, version, shape), crew)  # noqa: B023
            self.runs[str(run_id)] = (tenant, shape)
            self._poke(crew, run_id, shape.poke)
            if pause:
                self._attend(crew)
                time.sleep(pause)

    def _begin(self, tenant: Tenant, version: uuid.UUID, shape: Shape) -> uuid.UUID:
        if self.families is not None and isinstance(shape, Kin):
            return self.families.start(shape)
        return begin(tenant, version, pool="io")

    def _poke(self, crew: Crew, run_id: uuid.UUID, poke: str) -> None:
        """What somebody does to a run that has just begun."""
        match poke:
            case "signal":
                self._tell(crew, run_id, "signal", self._signal(run_id))
            case "cancel" if self.chance.random() < 0.5:
                self._tell(crew, run_id, "cancel", {})
            case "pause":
                self._tell(crew, run_id, "pause", {})
                self.later.append((time.monotonic() + PAUSE_SECONDS, run_id))
            case "fork" | "retry":
                self.sources.append(run_id)
            case _:
                self.has_questions = self.has_questions or poke == "approve"

    def _signal(self, run_id: uuid.UUID) -> dict[str, Any]:
        return signal_json(SignalReceived(id=f"{run_id}", name=mix.SIGNAL, payload=1))

    def _tell(self, crew: Crew, run_id: uuid.UUID, kind: str, body: dict[str, Any]) -> None:
        tenant = self.runs[str(run_id)][0]
        given = [tenant.id, run_id, uuid.uuid5(run_id, kind), kind, json.dumps(body)]
        self._chores(crew)
        ask(self.url, "SELECT executions_tell_1(%s, %s, %s, %s, %s::jsonb)", given)

    def _surely(self, start: Callable[[], T], crew: Crew) -> T:
        while True:
            self._chores(crew)
            try:
                return start()
            except (OperationalError, InterfaceError):
                # The reply was lost: a run that did begin is one more, and must end as well.
                with suppress(Exception):
                    connection.close()
                time.sleep(0.1)

    def _chores(self, crew: Crew) -> None:
        with suppress(queue.Empty):
            while True:
                crew.chores.get_nowait()()

    def _attend(self, crew: Crew) -> None:
        """What people do meanwhile: resume what they paused, decide what they are asked, fork."""
        while self.later and self.later[0][0] <= time.monotonic():
            self._tell(crew, self.later.pop(0)[1], "resume", {})
        with suppress(OperationalError, InterfaceError):
            if self.has_questions:
                people.decide_all(self.tenants)
        if self.sources:
            query = "SELECT id FROM run WHERE id = ANY (%s) AND finished_at IS NOT NULL"
            for (source,) in ask(self.url, query, [self.sources]):
                self.sources.remove(source)
                run_id, tenant, shape = self._surely(lambda: self._gone_on(source), crew)  # noqa: B023
                self.runs[str(run_id)] = (tenant, shape)

    def _gone_on(self, source: uuid.UUID) -> tuple[uuid.UUID, Tenant, Shape]:
        tenant, shape = self.runs[str(source)]
        if self.families is not None and isinstance(shape, Kin):
            return self.families.retry(source), tenant, shape.retried()
        fork = shape.forked(people.completed(tenant, source))
        return people.fork(tenant, source, fork), tenant, fork

    def _wait(self, crew: Crew) -> None:
        """Until nothing is open; fails when nothing moves."""
        moved, seen = time.monotonic(), (-1, -1)
        while True:
            self._chores(crew)
            self._attend(crew)
            query = ("SELECT count(*) FILTER (WHERE finished_at IS NULL), coalesce(sum(head), 0)"
                     " FROM run")  # fmt: skip
            ((open_runs, heads),) = ask(self.url, query)
            ((unheard,),) = ask(self.url, "SELECT count(*) FROM outbox")
            if not open_runs and not unheard and not self.sources:
                return
            if (now := (heads, unheard)) != seen:
                moved, seen = time.monotonic(), now
            if time.monotonic() - moved > LIVELY_SECONDS:
                self.violations.append(f"nothing moves: {open_runs} open, {unheard} unannounced")
                for (run_id,) in ask(
                    self.url, "SELECT id FROM run WHERE finished_at IS NULL LIMIT %s", [SHOWN]
                ):
                    self.violations.append(f"LOST {trail(self.url, run_id)}")
                return
            time.sleep(0.25)

    def _reckon(self, receiver: Sink, crew: Crew) -> None:
        query = "SELECT id::text, state, error ->> 'code', parent_id::text FROM run"
        rows = ask(self.url, query)
        states = {run_id: state for run_id, state, *_ in rows}
        lost = {run_id for run_id, _, code, _ in rows if code == LOST}
        # A step fails with the code of its child.
        above = {parent for run_id, _, _, parent in rows if run_id in lost}
        self.given_up = len(lost)
        unexplained = [one for one in lost - above if not crew.deaths.are_enough(one)]
        self.violations += [
            f"{run_id} ended WORKER_LOST after {crew.deaths.told(run_id)}:"
            f" {crew.nursery.log_with(run_id)}"
            for run_id in unexplained
        ]
        if self.families is not None:
            self.violations += self.families.unsound(self.runs, self.url, receiver, lost | above)
        heard = Counter(
            row[0] for row in ask(self.url, "SELECT run_id::text FROM billing_usageentry")
        )
        for run_id, (_, shape) in self.runs.items():
            state = states.get(run_id)
            if state not in shape.ends and run_id not in lost | above:
                self.violations.append(
                    f"{shape.name} {run_id} ended {state}: {trail(self.url, run_id)}"
                )
            elif run_id in lost:
                continue  # Given up on its way, whatever it was to come to.
            elif missing := shape.owed(str(state)) - receiver.done(run_id):
                never, given_up = self._whereabouts.judged(run_id, missing, crew.deaths)
                self.items_given_up += given_up
                if never:
                    self.violations.append(f"LOST: {shape.name} {run_id} never did {never}")
        self.violations += [
            f"the ledger heard {heard[run_id]} times of {run_id}"
            for run_id in states
            if heard[run_id] != 1
        ]
        self.violations += receiver.doubled()
        self.violations += verified()
        self.violations[:] = self.violations[: SHOWN * 4]


def taught(
    workers: Nursery, draw: Callable[[random.Random], Shape], chance: random.Random, *, count: int
) -> dict[uuid.UUID, Shape]:
    """Shapes by version; workers born from now on know their documents."""
    shapes = {uuid7(): draw(chance) for _ in range(count)}
    workers.know({str(version): shape.document for version, shape in shapes.items()})
    return shapes


def percentile(values: Sequence[float], share: float) -> float:
    """The value that this share of them does not exceed."""
    ordered = sorted(values)
    return ordered[round(share * (len(ordered) - 1))]


def verified() -> list[str]:
    """What `manage.py engine verify` prints, as the engine's role."""
    environment = {
        **os.environ,
        "NSTARX_DATABASE_ROLE": "engine",
        "DATABASE_ENGINE_URL": database.url("engine"),
    }
    done = subprocess.run(
        [sys.executable, str(ROOT / "manage.py"), "engine", "verify"],
        env=environment,
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode == 0 and "every invariant holds" in done.stdout:
        return []
    return [line for line in (done.stdout + done.stderr).splitlines() if line][-SHOWN:]


@contextmanager
def emptied(servers: Backends) -> Iterator[None]:
    """A storm reckons with its own runs alone."""
    yield
    tables = (
        "run, run_event, run_inbox, work_item, timer, outbox, ask, open_child, lane, map_chunk,"
        " map_item, map_news"
    )
    ask(house.everything(servers), f"TRUNCATE {tables}")
