"""Downloads over HTTP: whose, how they are served, and what a stranger learns."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from django.test import Client
from django.urls import include, path

from apps.artifacts.links import download_path
from apps.artifacts.reference import StoredObject
from apps.tenancy.actions import create_api_key
from apps.tenancy.actors import Actor, Role
from apps.tenancy.models import User
from apps.tenancy.scope import Scope, enter
from tests.factories import artifacts as make
from tests.factories import tenancy as people
from tests.factories.tenancy import Tenant

urlpatterns = [
    path("", include("apps.artifacts.urls")),
    path("accounts/", include("allauth.urls")),
]
pytestmark = [pytest.mark.django_db, pytest.mark.urls(__name__)]


def signed_in(client: Client, actor: Actor) -> Client:
    client.force_login(
        User.objects.get(pk=str(actor.user_id)), "django.contrib.auth.backends.ModelBackend"
    )
    return client


def get(client: Client, slug: str, digest: str) -> Any:
    return client.get(download_path(slug, digest))


@pytest.fixture
def stored(acme: Tenant) -> StoredObject:
    return make.artifact(acme)


def test_a_member_downloads(client: Client, acme: Tenant, stored: StoredObject) -> None:
    answer = get(signed_in(client, people.member(acme, role=Role.VIEWER)), "acme", stored.digest)
    assert answer.status_code == 200
    assert b"".join(answer.streaming_content) == b"a,b\n1,2\n"
    assert answer["Content-Type"] == "text/csv"
    assert answer["Content-Length"] == "8"
    assert answer["X-Content-Type-Options"] == "nosniff"
    assert answer["Content-Disposition"].startswith("attachment; ")
    assert answer["Cache-Control"].startswith("private")


def test_a_socket_server_too_sends_it_in_pieces(client: Client, acme: Tenant) -> None:
    content = b"0123456789abcdef" * (1024 * 64)
    stored = make.artifact(acme, content, media_type="application/octet-stream")
    answer = get(signed_in(client, acme.owner), "acme", stored.digest)

    async def pieces() -> list[bytes]:
        return [piece async for piece in answer]

    got = asyncio.run(pieces())
    assert len(got) == 4
    assert b"".join(got) == content


@pytest.mark.parametrize("media_type", ["text/html", "image/svg+xml", "application/xhtml+xml"])
def test_active_content_is_served_as_bytes(client: Client, acme: Tenant, media_type: str) -> None:
    stored = make.artifact(acme, b"<script>", media_type=media_type)
    answer = get(signed_in(client, acme.owner), "acme", stored.digest)
    assert answer["Content-Type"] == "application/octet-stream"
    assert "sandbox" in answer["Content-Security-Policy"]
    assert b"".join(answer.streaming_content) == b"<script>"


def test_a_stranger_is_asked_to_sign_in(client: Client, acme: Tenant, stored: StoredObject) -> None:
    assert get(client, "acme", stored.digest).status_code == 302


def test_foreign_and_unknown_look_alike(
    client: Client, acme: Tenant, globex: Tenant, stored: StoredObject
) -> None:
    signed_in(client, globex.owner)
    unknown = "sha256:" + "0" * 64
    answers = [
        get(client, "acme", stored.digest),
        get(client, "globex", stored.digest),
        get(client, "globex", unknown),
        get(client, "nobody", unknown),
    ]
    assert {answer.status_code for answer in answers} == {404}


def test_a_changed_object_is_not_served(client: Client, acme: Tenant, stored: StoredObject) -> None:
    make.file_of(acme, stored).write_bytes(b"tampered")
    answer = get(signed_in(client, acme.owner), "acme", stored.digest)
    assert answer.status_code == 409
    assert answer.content.startswith(b"DIGEST_MISMATCH")
    assert b"tampered" not in answer.content


def test_a_bad_key_is_told_so(client: Client, acme: Tenant, stored: StoredObject) -> None:
    answer = client.get(
        download_path("acme", stored.digest), headers={"authorization": "Bearer nsx_no"}
    )
    assert (answer.status_code, answer["WWW-Authenticate"]) == (401, "Bearer")


def _key(of: Tenant, *scopes: str) -> dict[str, str]:
    with enter(Scope.of(of.owner)):
        issued = create_api_key(actor=of.owner, name="downloads", scopes=scopes)
    return {"authorization": f"Bearer {issued.text}"}


def test_a_key_downloads_in_its_own_organization_only(
    client: Client, acme: Tenant, globex: Tenant, stored: StoredObject
) -> None:
    own = client.get(download_path("acme", stored.digest), headers=_key(acme, "workflows:read"))
    assert own.status_code == 200
    assert own.getvalue() == b"a,b\n1,2\n"
    foreign = client.get(
        download_path("acme", stored.digest), headers=_key(globex, "workflows:read")
    )
    assert foreign.status_code == 404


def test_a_key_needs_the_scope(client: Client, acme: Tenant, stored: StoredObject) -> None:
    answer = client.get(download_path("acme", stored.digest), headers=_key(acme, "audit:read"))
    assert answer.status_code == 403


def test_nothing_is_written_here(client: Client, acme: Tenant, stored: StoredObject) -> None:
    signed_in(client, acme.owner)
    assert client.post(download_path("acme", stored.digest)).status_code == 405
