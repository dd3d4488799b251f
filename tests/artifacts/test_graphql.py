"""Stored objects through the API."""

from __future__ import annotations

import pytest
from django.conf import settings

from tests.factories import artifacts as make
from tests.factories.tenancy import Tenant
from tests.graphql.calls import caller, codes

pytestmark = pytest.mark.django_db

ONE = """query($digest: String!) { artifact(digest: $digest) {
  id digest mediaType bytes downloadUrl } }"""


def test_a_reference_leads_to_a_download(acme: Tenant) -> None:
    stored = make.artifact(acme)
    api = caller(acme, "workflows:read")
    found = api.data(ONE, digest=stored.digest)["artifact"]
    assert (found["digest"], found["mediaType"], found["bytes"]) == (stored.digest, "text/csv", "8")
    path = found["downloadUrl"].removeprefix(settings.PUBLIC_URL)
    answer = api.client.get(path, headers={"Authorization": f"Bearer {api.key}"})
    assert answer.getvalue() == b"a,b\n1,2\n"


def test_foreign_and_unknown_are_null(acme: Tenant, globex: Tenant) -> None:
    stored = make.artifact(acme)
    api = caller(globex)
    for digest in (stored.digest, "sha256:" + "0" * 64, "../etc/passwd"):
        assert api.data(ONE, digest=digest) == {"artifact": None}
    own = caller(acme).data(ONE, digest=stored.digest)["artifact"]["id"]
    node = "query($id: ID!) { node(id: $id) { id } }"
    assert api.data(node, id=own) == {"node": None}
    assert caller(acme).data(node, id=own) == {"node": {"id": own}}


def test_a_key_needs_the_scope(acme: Tenant) -> None:
    stored = make.artifact(acme)
    assert codes(caller(acme, "audit:read").run(ONE, digest=stored.digest)) == ["FORBIDDEN"]
