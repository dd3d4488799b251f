"""Plan and usage through the API."""

from __future__ import annotations

import pytest

from apps.billing.plans import plan_of
from apps.tenancy import limits, scope
from apps.tenancy.limits import Metric
from tests.factories.tenancy import Tenant
from tests.graphql.calls import caller

pytestmark = pytest.mark.django_db


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
