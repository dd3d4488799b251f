"""What operators ask and tell: status, drain, brake, and the months of history."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection, connections

from apps.executions import jobs, retention
from apps.executions.models import LogLine, Run, RunEvent
from apps.executions.store import statements
from apps.executions.store.connections import Connection, Connections
from apps.kit.clock import now
from apps.tenancy import limits, scope
from apps.tenancy.limits import Metric
from config.supervisor import roles
from tests import database
from tests.executions.world import finished, start, worker
from tests.factories.graphs import a, raw
from tests.factories.tenancy import Tenant

pytestmark = pytest.mark.django_db(transaction=True)

ONE = raw([a("only")])
LONG_AGO = dt.timedelta(days=400)


@pytest.fixture
def engine() -> Iterator[Connection]:
    held = Connections(database.url("engine"))
    yield held.get()
    held.close_all()


@pytest.fixture
def as_engine(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Commands as the role that sees all lanes and workers."""
    with LoggedIn("engine", monkeypatch):
        yield


class LoggedIn:
    def __init__(self, role: str, monkeypatch: pytest.MonkeyPatch) -> None:
        self.role, self.monkeypatch = role, monkeypatch
        self.held: dict[str, Any] = {}

    def __enter__(self) -> None:
        settings_dict = connections["default"].settings_dict
        self.held = {key: settings_dict[key] for key in ("USER", "PASSWORD")}
        parts = database.url(self.role).split("://", 1)[1].split("@", 1)[0].split(":", 1)
        connection.close()
        settings_dict["USER"] = roles.user_of(database.url(self.role))
        settings_dict["PASSWORD"] = parts[1] if len(parts) > 1 else ""
        self.monkeypatch.setattr("django.conf.settings.DATABASE_ROLE", self.role)

    def __exit__(self, *_: object) -> None:
        connection.close()
        connections["default"].settings_dict.update(self.held)


def register(engine: Connection, *pools: str) -> uuid.UUID:
    worker_id = uuid.uuid4()
    statements.register(
        engine,
        worker_id=worker_id,
        host="here",
        pid=7,
        pools=pools,
        slots=8,
        lease_seconds=60,
        labels=("gpu=a100",),
    )
    return worker_id


@pytest.mark.usefixtures("as_engine")
def test_status_shows_what_waits_and_who_works(
    acme: Tenant, engine: Connection, capsys: pytest.CaptureFixture[str]
) -> None:
    run_id = start(acme, ONE)
    mine = register(engine, "gpu")
    call_command("engine", "status")
    shown = capsys.readouterr().out
    assert (
        f"worker {mine} here:7 pools=gpu labels=gpu=a100 abi={statements.ABI} slots=8 claiming"
        in shown
    )
    assert "pool gpu: 0 ready (oldest 0s), 0 leased, 1 workers" in shown
    assert "0 leased, NO WORKER" in shown
    assert f"lane {acme.id} io: 1 ready" in shown
    assert f"run of run {run_id} tenant {acme.id} pool io crashes=0" in shown
    assert "months ahead:" in shown
    statements.leave(engine, worker_id=mine)


@pytest.mark.usefixtures("as_engine")
def test_one_worker_or_all_are_drained(
    engine: Connection, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = register(engine, "io"), register(engine, "io")
    with pytest.raises(CommandError, match="Name one worker"):
        call_command("engine", "drain")
    with pytest.raises(CommandError, match="No such worker"):
        call_command("engine", "drain", "nobody")
    call_command("engine", "drain", str(first)[:13])
    assert str(first) in capsys.readouterr().out
    assert statements.is_told_to_drain(engine, worker_id=first)
    assert not statements.is_told_to_drain(engine, worker_id=second)
    call_command("engine", "drain", "--all")
    assert statements.is_told_to_drain(engine, worker_id=second)
    for one in (first, second):
        statements.leave(engine, worker_id=one)


@pytest.mark.usefixtures("as_engine")
def test_a_tenant_is_braked_and_let_go(acme: Tenant, engine: Connection) -> None:
    with pytest.raises(CommandError, match="no lane"):
        call_command("engine", "brake", str(acme.id), "--per-second", "2")
    start(acme, ONE)
    with pytest.raises(CommandError, match="greater than nothing"):
        call_command("engine", "brake", str(acme.id), "--per-second", "0")
    call_command("engine", "brake", str(acme.id), "--per-second", "2", "--burst", "3")
    row = "SELECT rate_per_s, burst FROM lane"
    assert engine.execute(row).fetchall() == [(2.0, 3)]
    call_command("engine", "brake", str(acme.id))
    assert engine.execute(row).fetchall() == [(None, 1)]


def test_what_ended_before_the_tenants_days_is_deleted_and_nothing_else(
    acme: Tenant, globex: Tenant
) -> None:
    old, kept = (start(acme, ONE) for _ in range(2))
    theirs = start(globex, ONE)
    with worker():
        for tenant, run_id in ((acme, old), (acme, kept), (globex, theirs)):
            finished(tenant, run_id)
    aged = _age(acme, old)
    still_open = _age(acme, start(acme, ONE), ended=False)
    with scope.tenant(acme.id):
        limits.set_limits({Metric.RETENTION_DAYS: 30})
        assert retention.expire_tenant(at=now()) == 1
        assert set(Run.objects.values_list("pk", flat=True)) == {still_open, kept}
        assert not RunEvent.objects.filter(run_id=aged).exists()
        assert not LogLine.objects.filter(run_id=aged).exists()
        assert RunEvent.objects.filter(run_id=kept).exists()
        assert retention.expire_tenant(at=now()) == 0
    with scope.tenant(globex.id):
        assert Run.objects.filter(pk=theirs).exists()
    jobs.expire_runs()
    with scope.tenant(acme.id):
        Run.objects.all().delete()


def _age(tenant: Tenant, run_id: uuid.UUID, *, ended: bool = True) -> uuid.UUID:
    """The run as if it had begun and ended long ago; its id is its age."""
    born = int((now() - LONG_AGO).timestamp() * 1000)
    aged = uuid.UUID(int=(born << 80) | (run_id.int & ((1 << 80) - 1)))
    with scope.tenant(tenant.id), connection.cursor() as cursor:
        cursor.execute("DELETE FROM work_item WHERE run_id = %s", [run_id])
        cursor.execute("DELETE FROM run_event WHERE run_id = %s", [run_id])
        cursor.execute(
            "UPDATE run SET id = %s, finished_at = %s WHERE id = %s",
            [aged, now() - LONG_AGO if ended else None, run_id],
        )
    return aged


def test_months_are_dropped_when_nobody_needs_them(
    acme: Tenant, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(CommandError, match="by the owner"):
        call_command("engine", "partitions")
    held = start(acme, ONE)
    with LoggedIn("owner", monkeypatch):
        before = retention.months()
        assert retention.months_ahead() >= retention.LEAST_AHEAD
        # In two years all of today's months are over, but for an open run's.
        later = now() + dt.timedelta(days=2 * 366)
        dropped, blocked = retention.drop_expired(at=later)
        present = {month.part for month in before if month.low <= now() < month.high}
        assert {one.month.part for one in blocked} == present
        assert {one.open_runs for one in blocked} == {(held,)}
        assert {name[:-8] for name in dropped} == {"run_event", "run_log", "map_item", "map_chunk"}
        assert {month.part for month in retention.months()} == {
            month.part for month in before
        } - set(dropped)
        call_command("engine", "partitions")
        assert "months made, 0 dropped" in capsys.readouterr().out
        assert retention.months_ahead() >= retention.LEAST_AHEAD


def test_missing_months_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[dict[str, Any]] = []
    monkeypatch.setattr(jobs.log, "error", lambda event, **fields: told.append(fields))
    jobs.check_months()
    assert told == []
    monkeypatch.setattr(retention, "LEAST_AHEAD", 999)
    jobs.check_months()
    assert told[0]["mend"] == "manage.py engine partitions"
