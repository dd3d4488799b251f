"""Members, keys, secrets, variables and connections on pages; founding; the theme."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client

from apps.tenancy import scope
from apps.tenancy.models import ApiKey, Invitation, Membership, Organization
from apps.tenancy.scope import Scope
from apps.vault.models import Connection, Secret, Variable
from tests.factories.tenancy import Tenant, user
from tests.pages.conftest import Furnished, signed_in
from tests.pages.reading import at, rows

pytestmark = pytest.mark.django_db


def test_a_key_is_shown_once(owner: Client, acme: Tenant) -> None:
    path = at("tenancy:keys", "acme")
    form = {"name": "ci", "scopes": ["workflows:read"], "lifetime": "90"}
    shown = owner.post(path, form).content.decode()
    [key] = rows(acme, ApiKey)
    text = re.search(r"nsx_[0-9a-f_]+", shown)
    assert text is not None
    assert text.group() not in owner.get(path).content.decode()
    owner.post(at("tenancy:revoke", "acme", key.pk))
    [dead] = rows(acme, ApiKey)
    assert dead.revoked_at is not None


def test_a_key_cannot_do_more_than_its_maker(acme: Tenant, viewer: Any) -> None:
    client = signed_in(viewer.user_id)
    form = {"name": "ci", "scopes": ["tenant:admin"], "lifetime": "90"}
    assert client.post(at("tenancy:keys", "acme"), form).status_code == 422
    assert rows(acme, ApiKey) == []


def test_a_member_is_invited_promoted_and_removed(owner: Client, acme: Tenant, viewer: Any) -> None:
    owner.post(at("tenancy:members", "acme"), {"email": "new@example.com", "role": "editor"})
    assert [one.email for one in rows(acme, Invitation)] == ["new@example.com"]
    owner.post(at("tenancy:role", "acme", viewer.user_id), {"role": "editor"})
    assert [one.role for one in rows(acme, Membership, user_id=viewer.user_id)] == ["editor"]
    owner.post(at("tenancy:remove", "acme", viewer.user_id))
    assert rows(acme, Membership, user_id=viewer.user_id) == []


def test_a_viewer_who_posts_anyway_is_refused_with_a_remedy(acme: Tenant, viewer: Any) -> None:
    client = signed_in(viewer.user_id)
    answer = client.post(at("tenancy:role", "acme", acme.owner.user_id), {"role": "viewer"})
    assert answer.status_code == 403
    assert "Ask an owner or admin" in answer.content.decode()
    assert [one.role for one in rows(acme, Membership, user_id=acme.owner.user_id)] == ["owner"]


def test_a_secret_goes_in_and_never_comes_out(owner: Client, acme: Tenant) -> None:
    path = at("vault:secrets", "acme", environment="development")
    owner.post(path, {"name": "TOKEN", "value": " s3cret with\r\nspaces "})
    assert [one.name for one in rows(acme, Secret)] == ["TOKEN"]
    assert "s3cret" not in owner.get(path).content.decode()
    owner.post(at("vault:delete_secret", "acme", environment="development"), {"key": "TOKEN"})
    assert rows(acme, Secret) == []


def test_a_wrong_secret_is_not_sent_back(owner: Client, acme: Tenant) -> None:
    path = at("vault:secrets", "acme", environment="development")
    answer = owner.post(path, {"name": "not a name", "value": "s3cret"})
    assert answer.status_code == 422
    assert "s3cret" not in answer.content.decode()
    assert rows(acme, Secret) == []


def test_variables_and_connections(owner: Client, acme: Tenant, furnished: Furnished) -> None:
    owner.post(
        at("vault:variables", "acme", environment="staging"), {"name": "depth", "value": "[1, 2]"}
    )
    assert [one.value for one in rows(acme, Variable, name="depth")] == [[1, 2]]
    wrong = owner.post(
        at("vault:variables", "acme", environment="staging"), {"name": "x", "value": "plain"}
    )
    assert "Strings need double quotes" in wrong.content.decode()
    [held] = rows(acme, Connection)
    place = {"environment": "development"}
    owner.post(at("vault:delete_connection", "acme", **place), {"key": str(held.pk)})
    assert rows(acme, Connection) == []


def test_an_organization_is_founded(client: Client, db: None) -> None:
    person = user("founder@example.com")
    founder = signed_in(person.pk)
    assert founder.get("/")["Location"] == at("tenancy:create")
    assert founder.post(at("tenancy:create"), {"name": "Init", "slug": "X"}).status_code == 422
    founder.post(at("tenancy:create"), {"name": "Initech", "slug": "initech"})
    with scope.enter(Scope(user_id=person.pk)), scope.transaction():
        assert Organization.unscoped.filter(slug="initech").exists()
    assert founder.get("/")["Location"] == at("executions:overview", "initech")


def test_staff_without_an_organization_begin_at_the_queue(
    staff: Callable[[], Client],
) -> None:
    assert staff().get("/")["Location"] == at("marketplace:approvals")


def test_the_theme_of_the_cookie_is_the_theme_of_the_page(client: Client, db: None) -> None:
    client.cookies["theme"] = "dark"
    assert 'data-theme="dark"' in client.get("/marketplace/").content.decode()
    client.cookies["theme"] = '"><script>'
    assert '<html lang="en">' in client.get("/marketplace/").content.decode()


def test_whoever_signs_in_on_the_marketplace_is_at_home_at_once(
    owner: Client, acme: Tenant
) -> None:
    assert "/t/acme/workflows/" in owner.get("/marketplace/").content.decode()


def test_a_person_without_an_organization_is_shown_the_way_to_one(client: Client, db: None) -> None:
    newcomer = signed_in(user("newcomer@example.com").pk)
    assert at("tenancy:create") in newcomer.get("/marketplace/").content.decode()


@pytest.mark.parametrize("name", ["secret", "variable", "connection"])
@pytest.mark.parametrize("key", ["", "nothing_like_it", "01a207c1-0000-7000-8000-000000000000"])
def test_what_the_vault_does_not_hold_cannot_be_deleted(
    name: str, key: str, owner: Client, acme: Tenant, furnished: Furnished
) -> None:
    before = [len(rows(acme, model)) for model in (Secret, Variable, Connection)]
    answer = owner.post(at(f"vault:delete_{name}", "acme"), {"key": key})
    assert 400 <= answer.status_code < 500
    assert [len(rows(acme, model)) for model in (Secret, Variable, Connection)] == before


def test_environments_stand_in_the_order_of_travel(owner: Client, acme: Tenant) -> None:
    html = owner.get(at("vault:variables", "acme")).content.decode()
    assert html.index("Development") < html.index("Staging") < html.index("Production")
    assert ">null<" not in html
