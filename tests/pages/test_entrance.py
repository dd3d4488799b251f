"""The way in: signing in and out, and what a stranger is told."""

from __future__ import annotations

import re

import pytest
from django.test import Client

from tests.factories import tenancy as make

pytestmark = pytest.mark.django_db

ENTRANCES = ["/accounts/login/", "/accounts/signup/", "/accounts/password/reset/", "/nowhere/"]


@pytest.mark.parametrize("path", ENTRANCES)
def test_an_entrance_needs_no_inline_script_or_style(client: Client, path: str) -> None:
    html = client.get(path).content.decode()
    assert 'class="entrance"' in html
    assert not re.search(r"<script(?![^>]*\bsrc=)|<style|\sstyle=|\son[a-z]+=", html)


def test_the_policy_allows_only_our_own_scripts(client: Client) -> None:
    policy = client.get("/accounts/login/")["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "script-src 'self'" in policy
    assert "unsafe" not in policy


def test_a_wrong_password_is_told_beside_the_form(client: Client) -> None:
    person = make.user()
    answer = client.post("/accounts/login/", {"login": person.email, "password": "wrong"})
    assert answer.status_code == 200
    assert "not correct" in answer.content.decode()


def test_the_right_password_leads_in(client: Client) -> None:
    person = make.user()
    answer = client.post("/accounts/login/", {"login": person.email, "password": make.PASSWORD})
    assert answer.status_code == 302
    assert client.session["_auth_user_id"] == str(person.pk)


def test_signing_out_takes_a_post(client: Client) -> None:
    client.force_login(make.user(), backend="django.contrib.auth.backends.ModelBackend")
    assert client.get("/accounts/logout/").status_code == 200
    assert "_auth_user_id" in client.session
    client.post("/accounts/logout/")
    assert "_auth_user_id" not in client.session


def test_a_form_without_its_token_is_refused_with_a_remedy() -> None:
    strict = Client(enforce_csrf_checks=True)
    answer = strict.post("/accounts/login/", {"login": "a@example.com", "password": "x"})
    assert answer.status_code == 403
    assert "load the page again" in answer.content.decode()


def test_an_unknown_address_is_a_page_with_a_way_back(client: Client) -> None:
    answer = client.get("/nowhere/")
    assert answer.status_code == 404
    assert 'href="/"' in answer.content.decode()
