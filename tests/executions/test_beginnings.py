"""When a run began: what its duration, its bill and the promise of the door are counted from."""

from __future__ import annotations

import datetime as dt

import pytest
from django.db import connection

from apps.billing.models import UsageEntry
from apps.executions import relay
from apps.executions.engine.ports import LogSink, StepCall, StepDone, StepOutcome, StopSignal
from apps.executions.models import OutboxEntry
from apps.kit.ids import uuid7
from apps.tenancy import scope
from tests.executions.test_limits import bounded, tell
from tests.executions.test_live import _due
from tests.executions.world import ScriptedRunner, finished, start, worker
from tests.factories.graphs import a, chain, raw
from tests.factories.tenancy import Tenant

pytestmark = pytest.mark.django_db(transaction=True)

WORK = 0.05


def slow(call: StepCall, stop: StopSignal, logs: LogSink) -> StepOutcome:
    stop.wait(seconds=WORK)
    return StepDone(outputs={"value": 1})


def test_a_run_lasts_as_long_as_its_steps_though_all_is_appended_at_its_end(acme: Tenant) -> None:
    run_id = start(acme, raw([a("only")]))
    with worker(ScriptedRunner(slow)):
        run = finished(acme, run_id)
    assert run.duration is not None
    assert run.duration >= dt.timedelta(seconds=WORK)
    with scope.tenant(acme.id):
        assert relay._announce(_due(1)) == 1
        assert UsageEntry.objects.get(run_id=run_id).wall_ms >= WORK * 1000


def test_a_run_that_was_canceled_in_the_queue_has_never_begun(acme: Tenant) -> None:
    queued = start(acme, chain(1))
    workflow = uuid7()
    bounded(acme, workflow, maxRuns=1)
    held = bounded(acme, workflow, maxRuns=1)
    for run_id in (queued, held):
        tell(acme, run_id, "cancel")
    with worker():
        for run_id in (queued, held):
            run = finished(acme, run_id)
            assert (run.state, run.started_at) == ("CANCELED", None)


def test_what_the_third_release_says_of_a_beginning_is_taken_and_told_to_nobody(
    acme: Tenant,
) -> None:
    run_id = start(acme, chain(1))
    with scope.tenant(acme.id), connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO outbox (tenant_id, run_id, kind) VALUES (%s, %s, 'run.started')",
            [acme.id, run_id],
        )
    with scope.tenant(acme.id):
        assert relay._announce(_due(1)) == 1
        assert not OutboxEntry.objects.exists()
        assert not UsageEntry.objects.filter(run_id=run_id).exists()
