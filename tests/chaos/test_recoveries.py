"""The storms' own measures: what is a death, what is a recovery, what a fork may keep."""

from __future__ import annotations

import psycopg
import pytest

from apps.executions.engine.codec import Row
from apps.executions.engine.slice import CRASH_LIMIT
from apps.executions.engine.slice_ports import Change, Left
from apps.executions.engine.state import RunStatus
from apps.executions.store import appends, statements
from tests import database
from tests.chaos import people
from tests.chaos.cells import line
from tests.chaos.checks import Office, batch, connected
from tests.chaos.deaths import Deaths
from tests.chaos.items import said
from tests.chaos.mix import Shape
from tests.chaos.recoveries import Recoveries
from tests.factories.tenancy import Tenant

pytestmark = pytest.mark.django_db(transaction=True)


def seen_by(tenant: Tenant) -> str:
    """A login that sees the runs of one tenant; that of the storms sees all."""
    return psycopg.conninfo.make_conninfo(
        database.url("engine"), options=f"-c app.tenant={tenant.id}"
    )


def test_what_was_taken_and_put_down_between_two_looks_is_recovered(acme: Tenant) -> None:
    with connected() as connection:
        office = Office(acme, connection)
        url = seen_by(acme)
        recoveries = Recoveries(url, Deaths(url))
        first, second = office.worker(), office.worker()
        office.claims(first)
        recoveries.killing(first)
        recoveries.mourn(first)
        office.die(first)
        recoveries.look()
        assert recoveries.seconds == [], "nobody has it yet"
        (claim,) = office.claims(second)
        statements.give_up(connection, item_id=claim.item_id, token=claim.token, broken=False)
        recoveries.look()
        assert len(recoveries.seconds) == 1
        office.close()


def test_a_claim_that_comes_with_its_dead_worker_is_a_death_each_time(acme: Tenant) -> None:
    """A worker was stopped on its way to claim: it has what the server gives it, and loses it."""
    with connected() as connection:
        office = Office(acme, connection)
        url = seen_by(acme)
        deaths = Deaths(url)
        recoveries = Recoveries(url, deaths)
        run_id = str(office.run_id)
        stopped = office.worker()
        recoveries.mourn(stopped)
        for _ in range(CRASH_LIMIT):
            assert not deaths.are_enough(run_id)
            office.claims(stopped)
            recoveries.look()
            recoveries.look()
            office.die(stopped)
        assert deaths.are_enough(run_id)
        assert recoveries.seconds == [], "it was never killed"
        office.close()


def test_a_fork_keeps_only_what_its_source_has_completed(acme: Tenant) -> None:
    """A step that was given up has failed: kept, it would let everybody behind it be skipped."""
    with connected() as connection:
        office = Office(acme, connection)
        (claim,) = office.claims(office.worker())
        found = (("run.started", None), ("step.completed", "n0"), ("step.failed", "n1"))
        rows = [Row(type=type_, path=path, attempt=1, body=None) for type_, path in found]
        change = Change(status=RunStatus.FAILED, left=Left.FINISHED, error={"code": "WORKER_LOST"})
        assert appends.append(connection, claim, batch(claim, *rows, change=change))
        document = line(*(said(f"n{at}", "keyed") for at in range(6)))
        source = Shape(name="forked", document=document)
        fork = source.forked(people.completed(acme, office.run_id))
        assert fork.kept == ("n0",)
        assert fork.owed("SUCCEEDED") == {f"n{at}" for at in range(1, 6)}
