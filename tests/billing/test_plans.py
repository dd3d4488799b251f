"""Plans set limits; nobody but the platform changes one."""

from __future__ import annotations

import io
from itertools import pairwise

import pytest
from django.core.management import CommandError, call_command
from django.db import transaction

from apps.billing.actions import change_plan
from apps.billing.errors import PlanUnknown
from apps.billing.plans import PLANS, PlanKey, plan_of
from apps.kit.errors import Forbidden, QuotaExceeded
from apps.tenancy import limits, scope
from apps.tenancy.actions import create_organization
from apps.tenancy.actors import Actor
from apps.tenancy.limits import Metric, allowance
from apps.tenancy.models import AuditRow, Limit, Organization
from apps.tenancy.scope import Scope
from tests.factories import tenancy as people
from tests.factories.tenancy import Tenant


def test_every_plan_says_something_about_every_metric() -> None:
    for plan in PLANS.values():
        assert set(plan.limits) == set(Metric)
        assert all(limit > 0 for limit in plan.limits.values())


def test_a_dearer_plan_allows_more_of_everything() -> None:
    plans = sorted(PLANS.values(), key=lambda plan: plan.price_minor)
    for cheap, dear in pairwise(plans):
        assert all(cheap.limits[metric] < dear.limits[metric] for metric in Metric)


def test_a_plan_cannot_be_changed_by_accident() -> None:
    with pytest.raises(TypeError):
        plan_of("free").limits[Metric.MEMBERS] = 1  # type: ignore[index]


@pytest.mark.django_db
def test_a_new_organization_has_its_plan_s_limits() -> None:
    made = create_organization(founder=people.user(), slug="initech", name="Initech")
    with scope.tenant(made.pk):
        kept = {Metric(row.metric): row.limit for row in Limit.objects.all()}
        assert kept == dict(plan_of("free").limits)
        assert allowance(Metric.MEMBERS).used == 1


def change(of: Tenant, plan_key: str, *, actor: Actor | None = None) -> None:
    who = actor or Actor.system(of.id, name="operator")
    with scope.enter(Scope(tenant_id=of.id, actor=who)):
        change_plan(actor=who, plan_key=plan_key)


@pytest.mark.django_db
def test_a_change_sets_limits_and_is_audited(acme: Tenant) -> None:
    change(acme, "team")
    with scope.tenant(acme.id):
        assert Organization.objects.get().plan_key == "team"
        assert allowance(Metric.MEMBERS).limit == plan_of("team").limits[Metric.MEMBERS]
        row = AuditRow.objects.get(action="organization.change_plan")
        assert (row.before, row.after) == ({"plan": "free"}, {"plan": "team"})


@pytest.mark.django_db
def test_a_smaller_plan_takes_nothing_away_and_grants_nothing(acme: Tenant) -> None:
    with scope.tenant(acme.id):
        limits.require(Metric.SECRETS, 100)
    change(acme, "free")
    with scope.tenant(acme.id):
        assert allowance(Metric.SECRETS).used == 100
        with pytest.raises(QuotaExceeded), transaction.atomic():
            limits.require(Metric.SECRETS)


@pytest.mark.django_db
def test_an_owner_does_not_raise_the_own_limits(acme: Tenant) -> None:
    with pytest.raises(Forbidden):
        change(acme, "business", actor=acme.owner)
    with scope.tenant(acme.id):
        assert Organization.objects.get().plan_key == "free"
        assert not AuditRow.objects.exists()


@pytest.mark.django_db
def test_an_unknown_plan_changes_nothing(acme: Tenant) -> None:
    with pytest.raises(PlanUnknown, match="free, team, business"):
        change(acme, "gold")
    with scope.tenant(acme.id):
        assert Organization.objects.get().plan_key == "free"


@pytest.mark.django_db
def test_an_operator_changes_a_plan_by_command(acme: Tenant, globex: Tenant) -> None:
    out = io.StringIO()
    call_command("change_plan", "acme", PlanKey.BUSINESS.value, stdout=out)
    assert "acme is on the plan Business" in out.getvalue()
    with scope.tenant(globex.id):
        assert Organization.objects.get().plan_key == "free"
    with pytest.raises(CommandError, match="no organization"):
        call_command("change_plan", "nobody", PlanKey.TEAM.value)
