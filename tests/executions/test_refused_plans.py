"""Runs whose version an installation cannot run any more: each ends, from wherever it stood."""

from __future__ import annotations

import dataclasses
import datetime as dt
import uuid
from typing import Any

import pytest

from apps.executions.engine.codec import encode
from apps.executions.engine.history import CancelReason, Event, RunCanceling, RunStarted
from apps.executions.engine.slice_ports import Batch, Change, Left
from apps.executions.engine.state import RunStatus
from apps.executions.engine.wait_events import StepWaiting
from apps.executions.models import Ask
from apps.executions.store import appends
from apps.executions.store.connections import Connections
from apps.executions.verify import verify_tenant
from apps.tenancy import scope
from apps.workflows.graph.waits import Wait, WaitKind
from tests.executions.test_fences import claim_one, connections
from tests.executions.world import VERSIONS, finished, run_of, start, worker
from tests.factories.graphs import a, raw
from tests.factories.tenancy import Tenant

__all__ = ["connections"]
pytestmark = pytest.mark.django_db(transaction=True)


def stranded(tenant: Tenant, connections: Connections, *events: Event, **change: Any) -> uuid.UUID:
    """A run in progress whose node type is gone by now."""
    run_id = start(tenant, raw([a("only")]))
    claim = claim_one(connections)
    rows = tuple(encode(event) for event in (RunStarted(), *events))
    said = Change(left=Left.YIELDED, **change)
    batch = Batch(head=claim.head, rows=rows, settled=0, change=said)
    assert appends.append(connections.get(), claim, batch)
    version = run_of(tenant, run_id).version_id
    (node,) = VERSIONS.documents[version].nodes
    gone = dataclasses.replace(node, type="gone.away")
    VERSIONS.documents[version] = dataclasses.replace(VERSIONS.documents[version], nodes=(gone,))
    return run_id


@pytest.mark.parametrize(
    ("reason", "state"),
    [(CancelReason.REQUESTED, "CANCELED"), (CancelReason.DEADLINE, "TIMED_OUT"), (None, "FAILED")],
)
def test_a_run_that_was_being_stopped_is_stopped(
    acme: Tenant, connections: Connections, reason: CancelReason | None, state: str
) -> None:
    events = () if reason is None else (RunCanceling(reason=reason),)
    status = RunStatus.RUNNING if reason is None else RunStatus.CANCELING
    run_id = stranded(acme, connections, *events, status=status)
    with worker():
        assert finished(acme, run_id).state == state
    assert verify_tenant(acme.id) == []


def test_whoever_was_asked_hears_of_the_end(acme: Tenant, connections: Connections) -> None:
    waiting = StepWaiting(
        path="only",
        attempt=1,
        started_at=dt.datetime.now(dt.UTC),
        wait=Wait(kind=WaitKind.APPROVAL, name="?"),
    )
    run_id = stranded(acme, connections, waiting, status=RunStatus.RUNNING)
    with worker():
        finished(acme, run_id)
    with scope.tenant(acme.id):
        assert [ask.kind for ask in Ask.objects.filter(run_id=run_id)] == ["run.over"]
