"""A database that is gone for a while is nobody's death: nothing is given up because of it."""

from __future__ import annotations

import itertools
import uuid

import psycopg
import pytest
from django.db import OperationalError

from apps.executions.engine.slice import CRASH_LIMIT
from apps.executions.models import MapItem
from apps.executions.store.resilient import is_outage
from apps.executions.worker.maps.objects import NoObjects, Objects
from apps.tenancy import scope
from apps.workflows.graph.mapping import Policy
from tests.executions.test_maps import Items, mapped
from tests.executions.world import finished, start, worker
from tests.factories.tenancy import Tenant

OFTEN = CRASH_LIMIT + 2
NOWHERE = "host=127.0.0.1 port=1 connect_timeout=2"


def gone() -> psycopg.OperationalError:
    """What a client meets where no server listens."""
    with pytest.raises(psycopg.OperationalError) as met:
        psycopg.connect(NOWHERE)
    return met.value


def test_an_outage_is_told_from_a_statement_that_fails() -> None:
    outage = OperationalError("as Django says it")
    outage.__cause__ = gone()
    assert is_outage(gone())
    assert is_outage(outage)
    assert is_outage(psycopg.errors.CrashShutdown())
    assert is_outage(psycopg.InterfaceError("the connection is closed"))
    assert is_outage(psycopg.errors.LockNotAvailable())
    assert is_outage(psycopg.errors.IdleInTransactionSessionTimeout())
    assert not is_outage(psycopg.errors.QueryCanceled())
    assert not is_outage(psycopg.errors.DiskFull())
    assert not is_outage(ValueError())


@pytest.mark.django_db(transaction=True)
def test_no_item_is_given_up_because_its_chunk_met_an_outage(acme: Tenant) -> None:
    items = Items(4, {"policy": Policy.COLLECT, "tolerated": None})
    looks = itertools.count()

    def objects(tenant_id: uuid.UUID, run_id: uuid.UUID) -> Objects:
        if next(looks) < OFTEN:
            raise gone()
        return NoObjects()

    run_id = start(acme, mapped())
    with worker(items.runner(), open_objects=objects):
        assert finished(acme, run_id).state == "SUCCEEDED"
    with scope.tenant(acme.id):
        found = list(MapItem.objects.order_by("idx").values_list("state", "error"))
    assert found == [("done", None)] * 4
