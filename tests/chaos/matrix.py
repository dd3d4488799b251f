"""Runs cells: a victim process each is struck, a rescuer takes over, zombies come back."""

from __future__ import annotations

import json
import signal
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import psycopg
from django.db import connection

from apps.billing.models import UsageEntry
from apps.executions import tasks
from apps.executions.engine.undoing import COMPENSATION_FAILED
from apps.executions.models import Run
from apps.executions.verify import verify_tenant
from apps.kit.ids import uuid7
from apps.tenancy import scope
from tests import database
from tests.chaos.cells import Cell
from tests.chaos.nursery import LEASE, SHORT, Nursery, Worker
from tests.chaos.sink import Sink
from tests.chaos.strikes import Action
from tests.factories.tenancy import Tenant

TOGETHER = 12
SLOTS = 500
END_SECONDS = 60.0
_TRAIL = (
    "SELECT seq, type, path, attempt, at::time::text FROM run_event WHERE run_id = %s ORDER BY seq",
    "SELECT kind, path, pool, worker_id::text, crashes FROM work_item WHERE run_id = %s",
    "SELECT kind, path, fire_at::time::text FROM timer WHERE run_id = %s",
    "SELECT kind, body FROM run_inbox WHERE run_id = %s",
)


@dataclass
class Case:
    """One cell as it went."""

    cell: Cell
    pools: tuple[str, str]
    version: uuid.UUID
    runs: list[uuid.UUID] = field(default_factory=list)
    victim: Worker | None = None
    struck_at: float = 0.0
    recovered_after: float | None = None
    fenced: int = 0
    violations: list[str] = field(default_factory=list)


class Matrix:
    """One database, one sink, one tenant; cells do not meet because each has its own pools."""

    def __init__(
        self,
        tenant: Tenant,
        sink: Sink,
        nursery: Nursery,
        *,
        seconds: float = END_SECONDS,
        **told: Any,
    ) -> None:
        self.seconds = seconds
        self.tenant = tenant
        self.sink = sink
        self.nursery = nursery
        self.told = told
        self.number = 0

    def play(self, cells: Sequence[Cell]) -> Iterator[Case]:
        """All of them, some at a time."""
        together = [cell for cell in cells if not cell.is_alone]
        for at in range(0, len(together), TOGETHER):
            yield from self._together(together[at : at + TOGETHER])
        for cell in cells:
            if cell.is_alone:
                yield from self._together([cell])

    def _together(self, cells: Sequence[Cell]) -> list[Case]:
        self.sink.close_gates()
        cases = [self._begun(cell) for cell in cells]
        for case in cases:
            case.victim = self.nursery.born(
                case.pools,
                blows=case.cell.blows,
                settings=case.cell.settings,
                relay=case.cell.is_of_relay,
                bell=case.cell.is_told,
                **self.told,
            )
        for case in cases:
            self._await_blow(case)
        pools = [pool for case in cases for pool in case.pools]
        # Room for all runs of a cell: one at the gate must not keep out the one that matters.
        roomy = {**SHORT, "tasks_at_once": 4}
        rescuer = self.nursery.born(pools, gates=True, settings=roomy, **self.told)
        if not self.nursery.hear(rescuer, "ready"):
            raise RuntimeError(f"no rescuer: {self.nursery.log_tail()}")
        self._resume(cases)
        self.sink.gate.set()
        for case in cases:
            self._judge(case)
        self._bury(cases, rescuer)
        found = [f"{one.invariant}: {one.rows}" for one in verify_tenant(self.tenant.id)]
        cases[0].violations += found + self.sink.doubled() + self._unannounced(cases)
        return cases

    def _begun(self, cell: Cell) -> Case:
        self.number += 1
        pools = (f"own-{self.number}", f"task-{self.number}")
        document = cell.story.document(pools[1])
        version = uuid7()
        self.nursery.know({str(version): document})
        case = Case(cell=cell, pools=pools, version=version)
        for _ in range(0 if cell.is_told else cell.story.runs):
            self._begin_run(case)
        return case

    def _begin_run(self, case: Case, run_id: uuid.UUID | None = None) -> None:
        pool = case.pools[0]
        case.runs.append(begin(self.tenant, case.version, pool=pool, run_id=run_id))

    def _tell(self, case: Case, victim: Worker, *, until: float) -> None:
        """As a start does that is alone; the run is written when its worker has been struck."""
        run_id = uuid7()
        while time.monotonic() < until and not victim.died and victim.at() is None:
            tasks.expect(run_id, case.pools[0])
            self.nursery.hear(victim, "at ", seconds=0.2)
        self._begin_run(case, run_id)

    def _await_blow(self, case: Case) -> None:
        victim = case.victim
        assert victim is not None
        last = case.cell.blows[-1]
        until = time.monotonic() + END_SECONDS
        if case.cell.is_told:
            self._tell(case, victim, until=until)
        while case.cell.is_contested and time.monotonic() < until:
            # All victims of a batch compete for each: many chances, so that none is left out.
            if self.nursery.hear(victim, f"at {last.point}", seconds=0.3) or victim.died:
                break
            self._begin_run(case)
        if not self.nursery.hear(victim, f"at {last.point}", seconds=until - time.monotonic()):
            case.violations.append(f"{last.point} was never reached: {victim.said}")
        case.struck_at = time.monotonic()
        if last.action is Action.KILL:
            self.nursery.buried(victim)
        if case.cell.forgotten:
            with psycopg.connect(database.url("engine"), autocommit=True) as direct:
                direct.execute("DELETE FROM worker WHERE id = %s", (victim.worker_id,))

    def _resume(self, cases: Sequence[Case]) -> None:
        """Zombies come back while the rescuer holds their runs at the gate."""
        zombies = [case for case in cases if case.cell.is_zombie]
        for case in zombies:
            if case.cell.fenced:
                run = str(case.runs[0])
                if not _until(lambda run=run: run in self.sink.at_gate):  # type: ignore[misc]
                    case.violations.append("the rescuer never came to the gate")
        for case in zombies:
            victim = case.victim
            assert victim is not None
            victim.signal(signal.SIGCONT)
            if self.nursery.hear(victim, "resumed", seconds=10) and case.cell.fenced:
                case.fenced = int(self.nursery.hear(victim, "fenced", seconds=10))
                if not case.fenced:
                    case.violations.append("a zombie was not fenced")

    def _judge(self, case: Case) -> None:
        for run_id in case.runs:
            run = ended(self.tenant, run_id, seconds=self.seconds)
            if run is None:
                case.violations.append(f"LOST: run {run_id} does not end: {self._trail(run_id)}")
            elif run.state not in case.cell.ends:
                case.violations.append(f"run {run_id} ended {run.state}: {run.error}")
            elif lost := case.cell.story.owed(run.state) - self.sink.done(str(run_id)):
                case.violations.append(f"LOST: run {run_id} never did {lost}")
            elif run.error is not None and run.error["code"] == COMPENSATION_FAILED:
                case.violations.append(f"run {run_id} is not undone: {run.error}")
        if case.cell.blows[-1].action is Action.KILL and case.struck_at:
            case.recovered_after = self._recovery(case)

    def _recovery(self, case: Case) -> float | None:
        """From the death to the first event of the run that somebody else wrote."""
        with scope.tenant(self.tenant.id), connection.cursor() as cursor:
            cursor.execute(
                "SELECT extract(epoch FROM clock_timestamp() - min(at)) FROM run_event"
                " WHERE run_id = %s AND at > clock_timestamp() - %s * interval '1 second'",
                [case.runs[0], time.monotonic() - case.struck_at],
            )
            row = cursor.fetchone()
        if row is None or row[0] is None:
            return None
        return max(time.monotonic() - case.struck_at - float(row[0]), 0.0)

    def _unannounced(self, cases: Sequence[Case]) -> list[str]:
        """Ends of which the ledger did not hear exactly once."""
        runs = [run for case in cases for run in case.runs]

        def wrong() -> list[str]:
            with scope.tenant(self.tenant.id):
                heard = list(
                    UsageEntry.objects.filter(run_id__in=runs).values_list("run_id", flat=True)
                )
            return [f"end of {run} told {heard.count(run)} times" for run in runs
                    if heard.count(run) != 1]  # fmt: skip

        _until(lambda: not wrong(), seconds=self.seconds)
        return wrong()

    def _trail(self, run_id: uuid.UUID) -> str:
        with scope.tenant(self.tenant.id), connection.cursor() as cursor:
            found = []
            for query in _TRAIL:
                cursor.execute(query, [run_id])
                found.append(cursor.fetchall())
        return str(found)

    def _bury(self, cases: Sequence[Case], rescuer: Worker) -> None:
        """The relay of the rescuer must be done before it goes."""
        self._unannounced(cases)
        for worker in (*(case.victim for case in cases if case.victim), rescuer):
            self.nursery.kill(worker)
            self.nursery.buried(worker)


def begin(
    tenant: Tenant,
    version_id: uuid.UUID,
    *,
    pool: str,
    slots: int = 4,
    run_id: uuid.UUID | None = None,
) -> uuid.UUID:
    """T0 of a version that the workers know."""
    run_id = run_id or uuid7()
    facts = facts_of(tenant, version_id, pool=pool, slots=slots)
    with scope.tenant(tenant.id), connection.cursor() as cursor:
        cursor.execute(
            "SELECT executions_start_7(%s, %s, %s::jsonb, %s::jsonb, %s, %s, 1)",
            [tenant.id, run_id, json.dumps(facts), '{"trigger": "API"}', SLOTS, SLOTS],
        )
    return run_id


def facts_of(tenant: Tenant, version_id: uuid.UUID, *, pool: str, slots: int = 4) -> dict[str, Any]:
    """What a start says of its run."""
    return {
        "workflow_id": str(uuid7()),
        "version_id": str(version_id),
        "environment_id": str(tenant.environments["DEVELOPMENT"].pk),
        "environment": "DEVELOPMENT",
        "trigger": "API",
        "priority": 5,
        "pool": pool,
        "slots": slots,
    }


def ended(tenant: Tenant, run_id: uuid.UUID, *, seconds: float) -> Run | None:
    """The row when the run has ended."""
    found: list[Run] = []

    def look() -> bool:
        with scope.tenant(tenant.id):
            run = Run.objects.get(pk=run_id)
        found[:] = [run] if run.finished_at is not None else []
        return bool(found)

    _until(look, seconds=seconds)
    return found[0] if found else None


def trail(url: str, run_id: uuid.UUID | str) -> str:
    """Where a run stands, for whoever must find out why; the login sees all rows."""
    with psycopg.connect(url, autocommit=True) as direct:
        return str([direct.execute(query, (run_id,)).fetchall() for query in _TRAIL])


def _until(happened: Callable[[], bool], *, seconds: float = END_SECONDS) -> bool:
    until = time.monotonic() + seconds
    while not happened():
        if time.monotonic() >= until:
            return False
        time.sleep(0.02)
    return True


def rows(cases: Sequence[Case]) -> Iterator[tuple[str, ...]]:
    """For the table: cell, runs, kills, fenced, recovery, violations."""
    for case in cases:
        kills = sum(blow.action is Action.KILL for blow in case.cell.blows)
        recovery = "" if case.recovered_after is None else f"{case.recovered_after:.1f} s"
        yield (case.cell.name, str(len(case.runs)), str(kills), str(case.fenced), recovery,
               "; ".join(case.violations))  # fmt: skip


RECOVERY_LIMIT = LEASE + 2.0
