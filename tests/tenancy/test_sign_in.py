"""Signing in by e-mail and password, and how it is throttled."""

from __future__ import annotations

import pytest
from django.test import Client, RequestFactory

from apps.kit.rate_limit import Bucket, WhenBlind
from apps.tenancy import scope, sign_in
from apps.tenancy.doors import choose, place_of
from apps.tenancy.models import Membership
from tests.factories import tenancy as make

LOGIN = "/accounts/login/"


def attempt(client: Client, email: str, password: str) -> bool:
    """Whether the form let us in."""
    response = client.post(LOGIN, {"login": email, "password": password})
    return bool(response.status_code == 302)


def test_a_person_signs_in_with_e_mail_and_password(db: None) -> None:
    person = make.user("grace@example.com")

    assert attempt(Client(), "Grace@example.com", make.PASSWORD)
    assert not attempt(Client(), person.email, "wrong")


def test_signing_in_changes_the_session(db: None) -> None:
    make.user("grace@example.com")
    client = Client()
    client.get(LOGIN)
    before = client.session.session_key

    attempt(client, "grace@example.com", make.PASSWORD)

    assert client.session.session_key != before


def test_guessing_is_throttled_even_with_the_right_password(
    db: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    make.user("grace@example.com")
    small = Bucket(name="test-sign-in", capacity=3, per_second=0.001, when_blind=WhenBlind.REFUSE)
    monkeypatch.setattr(sign_in, "BY_ACCOUNT", small)
    for _ in range(3):
        attempt(Client(), "grace@example.com", "wrong")

    assert not attempt(Client(), "grace@example.com", make.PASSWORD)


def test_an_unknown_address_is_throttled_alike(db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    small = Bucket(name="test-sign-in-2", capacity=1, per_second=0.001, when_blind=WhenBlind.REFUSE)
    monkeypatch.setattr(sign_in, "BY_ACCOUNT", small)
    attempt(Client(), "nobody@example.com", "wrong")

    page = Client().post(LOGIN, {"login": "nobody@example.com", "password": "wrong"})

    assert "Too many failed login attempts" in page.content.decode()


def test_another_organization_gets_another_session_id(
    acme: make.Tenant, globex: make.Tenant
) -> None:
    person = make.user()
    client = Client()
    client.force_login(person, backend="django.contrib.auth.backends.ModelBackend")
    request = RequestFactory().get("/")
    request.session = client.session
    for tenant in (acme, globex):
        with scope.tenant(tenant.id):
            Membership.objects.create(user=person, role="viewer")

    keys = []
    for slug in ("acme", "acme", "globex"):
        place = place_of(person, slug=slug)
        assert place is not None
        choose(request, place)
        keys.append(request.session.session_key)

    assert keys[0] == keys[1] != keys[2]
    assert request.session["organization"] == "globex"


def test_the_admin_has_no_door_of_its_own(db: None) -> None:
    response = Client().get("/admin/login/?next=/admin/")

    assert response.status_code == 302
    assert response.headers["Location"].startswith(LOGIN)
