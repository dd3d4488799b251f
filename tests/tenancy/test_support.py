"""The Django admin: who gets in, and whose rows are seen."""

from __future__ import annotations

import pytest
from django.contrib import admin
from django.test import Client

from apps.tenancy import scope
from apps.tenancy.models import AuditRow, Organization, User
from apps.workflows.actions import create_workflow
from tests.factories import marketplace
from tests.factories import tenancy as make
from tests.graphql.populated import populate

pytestmark = pytest.mark.django_db
LIST = "/admin/tenancy/organization/"
WORKFLOWS = "/admin/workflows/workflow/"


@pytest.fixture
def support() -> Client:
    """Staff with everything the admin can show."""
    User.objects.create_superuser("support@example.com", make.PASSWORD)
    client = Client()
    client.force_login(
        User.objects.get(email="support@example.com"),
        backend="django.contrib.auth.backends.ModelBackend",
    )
    return client


def choose(client: Client, action: str, tenant: make.Tenant) -> None:
    """Run an action on the list of organizations."""
    form = {"action": action, "_selected_action": [str(tenant.id)]}
    assert client.post(LIST, form).status_code == 302


def test_members_do_not_get_in(acme: make.Tenant) -> None:
    client = Client()
    client.force_login(
        User.objects.get(pk__in=[acme.owner.user_id]),
        backend="django.contrib.auth.backends.ModelBackend",
    )

    assert client.get(LIST).status_code == 302


def test_staff_see_all_organizations(
    support: Client, acme: make.Tenant, globex: make.Tenant
) -> None:
    page = support.get(LIST).content.decode()

    assert "acme" in page
    assert "globex" in page


def test_without_a_choice_no_tenants_rows_are_seen(support: Client, acme: make.Tenant) -> None:
    drawn(acme)

    response = support.get(WORKFLOWS)

    assert response.status_code == 302
    assert response.headers["Location"] == LIST


def test_a_choice_is_audited_and_shows_that_tenant_only(
    support: Client, acme: make.Tenant, globex: make.Tenant
) -> None:
    drawn(acme)
    drawn(globex)

    choose(support, "look_after_it", acme)

    page = support.get(WORKFLOWS).content.decode()
    assert "Cars of acme" in page
    assert "Cars of globex" not in page
    with scope.tenant(acme.id):
        assert AuditRow.objects.filter(action="staff.enter").count() == 1
    with scope.tenant(globex.id):
        assert not AuditRow.objects.filter(action="staff.enter").exists()


def test_support_can_go_back(support: Client, acme: make.Tenant, globex: make.Tenant) -> None:
    choose(support, "look_after_it", acme)
    choose(support, "leave_it", acme)

    assert "globex" in support.get(LIST).content.decode()


def opened(client: Client, tenant: make.Tenant) -> list[str]:
    """Every list, and the first row of each: what does not open."""
    closed = []
    for model, shown in admin.site._registry.items():
        base = f"/admin/{model._meta.app_label}/{model._meta.model_name}/"
        if client.get(base).status_code != 200:
            closed.append(base)
        with scope.tenant(tenant.id):
            row = shown.model._default_manager.first()
        if row is not None and client.get(f"{base}{row.pk}/change/").status_code != 200:
            closed.append(f"{base}{row.pk}/change/")
    return closed


@pytest.mark.filterwarnings("ignore:The default scheme will be changed")
def test_every_list_and_every_row_opens(support: Client) -> None:
    acme = populate("acme").tenant

    assert support.get("/admin/").status_code == 200
    choose(support, "look_after_it", acme)
    assert opened(support, acme) == []


def test_what_would_change_without_a_trace_is_not_there(support: Client, acme: make.Tenant) -> None:
    choose(support, "look_after_it", acme)

    assert support.get("/admin/auth/group/").status_code == 404
    assert support.get("/admin/account/emailaddress/").status_code == 404


def test_people_are_looked_at_only(support: Client) -> None:
    person = make.user("ada@example.com")

    response = support.post(f"/admin/tenancy/user/{person.pk}/change/", {"name": "Mallory"})

    assert response.status_code == 403
    person.refresh_from_db()
    assert person.name == ""


def test_nothing_is_written_in_the_admin(support: Client, acme: make.Tenant) -> None:
    form = {"action": "delete_selected", "_selected_action": [str(acme.id)], "post": "yes"}

    support.post(LIST, form)

    with scope.platform():
        assert Organization.objects.filter(slug="acme").exists()


def drawn(tenant: make.Tenant) -> None:
    """A workflow to look for."""
    document = marketplace.document(marketplace.node("input.constant", value=1))
    document["name"] = f"Cars of {tenant.organization.slug}"
    with scope.tenant(tenant.id, actor=tenant.owner):
        create_workflow(actor=tenant.owner, document=document)
