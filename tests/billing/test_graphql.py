"""Plan and usage through the API."""

from __future__ import annotations

import datetime as dt

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from apps.billing.plans import plan_of
from apps.tenancy import limits, scope
from apps.tenancy.actors import Actor
from apps.tenancy.limits import Metric
from tests.factories import billing as make
from tests.factories.tenancy import Tenant
from tests.graphql.calls import caller, codes

pytestmark = pytest.mark.django_db

NOVEMBER = dt.datetime(2026, 11, 15, 12, tzinfo=dt.UTC)


def test_an_organization_shows_its_plan(acme: Tenant) -> None:
    found = caller(acme).data("{ tenant { plan { key name status renewsAt limits } } }")
    assert found["tenant"]["plan"] == {
        "key": "free",
        "name": "Free",
        "status": "ACTIVE",
        "renewsAt": None,
        "limits": {metric.value: limit for metric, limit in plan_of("free").limits.items()},
    }


def test_an_organization_shows_what_it_used(acme: Tenant) -> None:
    with scope.tenant(acme.id):
        limits.require(Metric.RUNS_PER_MONTH, 7)
    found = caller(acme).data("{ tenant { usage { metric used limit periodStart periodEnd } } }")
    meters = {meter["metric"]: meter for meter in found["tenant"]["usage"]}
    assert meters["runs_per_month"]["used"] == "7"
    assert meters["runs_per_month"]["periodStart"] < meters["runs_per_month"]["periodEnd"]


LEDGER = """query($first: Int = 20, $after: String) { usageLedger(first: $first, after: $after) {
  nodes { id executionId state environment steps cpuMs cost { amountMinor currency } }
  pageInfo { hasNextPage endCursor } totalCount { value } } }"""


def test_the_ledger_is_read_in_pages(acme: Tenant) -> None:
    for minute in range(3):
        make.entry(acme, at=NOVEMBER + dt.timedelta(minutes=minute), steps=minute)
    api = caller(acme, "billing:read")
    page = api.data(LEDGER, first=2)["usageLedger"]
    assert [node["steps"] for node in page["nodes"]] == ["2", "1"]
    assert page["nodes"][0]["cost"] == {"amountMinor": "4", "currency": "USD"}
    assert page["pageInfo"]["hasNextPage"]
    rest = api.data(LEDGER, first=2, after=page["pageInfo"]["endCursor"])["usageLedger"]
    assert [node["steps"] for node in rest["nodes"]] == ["0"]


def test_the_ledger_costs_the_same_however_long(acme: Tenant) -> None:
    api = caller(acme)
    make.entry(acme)
    api.data(LEDGER)
    with CaptureQueriesContext(connection) as few:
        api.data(LEDGER)
    for _ in range(5):
        make.entry(acme)
    with CaptureQueriesContext(connection) as many:
        api.data(LEDGER)
    assert len(many) == len(few)


def test_the_ledger_is_the_tenant_s_own(acme: Tenant, globex: Tenant) -> None:
    make.entry(acme)
    own = caller(acme).data(LEDGER)["usageLedger"]["nodes"][0]["id"]
    api = caller(globex)
    assert api.data(LEDGER)["usageLedger"]["nodes"] == []
    assert api.data("query($id: ID!) { node(id: $id) { id } }", id=own) == {"node": None}


def test_a_viewer_does_not_read_the_ledger(viewer: Actor) -> None:
    assert codes(caller(viewer).run(LEDGER)) == ["FORBIDDEN"]
