"""The vault through the API: what is shown, what is refused, how many queries a list costs."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from apps.tenancy import scope
from apps.tenancy.actors import Role
from apps.vault.models import Connection, Secret
from apps.vault.secrets import open_secret
from tests.factories import tenancy as people
from tests.factories import vault as make
from tests.factories.tenancy import Tenant
from tests.graphql.calls import caller, codes

pytestmark = pytest.mark.django_db

VALUE = "hunter2-very-secret"
SECRETS = """{ secrets(environment: DEVELOPMENT) {
  name environment version updatedAt updatedBy { displayName } } }"""
CONNECTIONS = """{ connections(environment: DEVELOPMENT) {
  id name connectorType environment lastCheckedAt healthy } }"""
SET = """mutation($name: String!, $value: String!, $in: Environment = DEVELOPMENT) {
  setSecret(name: $name, value: $value, environment: $in) {
    ok errors { code message path } } }"""
DELETE = """mutation($name: String!) { deleteSecret(name: $name, environment: DEVELOPMENT) {
  ok errors { code path } } }"""
SAVE = """mutation($settings: JSON, $secrets: JSON) {
  saveConnection(name: "warehouse", connectorType: "postgresql", environment: DEVELOPMENT,
    settings: $settings, secrets: $secrets) {
      connection { id name environment } errors { code path } } }"""


def test_a_secret_is_set_and_listed_without_its_value(acme: Tenant) -> None:
    api = caller(acme)
    answer = api.run(SET, name="TOKEN", value=VALUE)
    assert answer["data"]["setSecret"] == {"ok": True, "errors": []}
    listed = api.run(SECRETS)
    assert listed["data"]["secrets"][0] | {"updatedAt": ""} == {
        "name": "TOKEN",
        "environment": "DEVELOPMENT",
        "version": 1,
        "updatedAt": "",
        "updatedBy": {"displayName": acme.owner.name},
    }
    assert VALUE not in str(listed) + str(answer)
    with scope.tenant(acme.id):
        assert open_secret("TOKEN", acme.environments["DEVELOPMENT"].pk) == VALUE


def test_a_refused_secret_is_not_repeated(acme: Tenant) -> None:
    answer = caller(acme).run(SET, name="1ST", value=VALUE)
    (error,) = answer["data"]["setSecret"]["errors"]
    assert (error["code"], error["path"]) == ("INVALID", ["name"])
    assert VALUE not in str(answer)
    with scope.tenant(acme.id):
        assert not Secret.objects.exists()


@pytest.mark.parametrize(
    ("scopes", "query"),
    [
        (["secrets:read"], SET),
        (["secrets:write"], SECRETS),
        (["secrets:read"], SAVE),
        (["secrets:read"], CONNECTIONS),
    ],
)
def test_a_key_needs_the_scope(acme: Tenant, scopes: list[str], query: str) -> None:
    answer = caller(acme, *scopes).run(query, name="TOKEN", value=VALUE)
    assert codes(answer) == ["FORBIDDEN"]


def test_a_secret_is_deleted_once(acme: Tenant) -> None:
    make.secret(acme, name="TOKEN")
    api = caller(acme)
    assert api.data(DELETE, name="TOKEN")["deleteSecret"]["ok"]
    again = api.data(DELETE, name="TOKEN")["deleteSecret"]
    assert again == {"ok": False, "errors": [{"code": "NOT_FOUND", "path": ["name"]}]}


def test_variables_come_and_go(acme: Tenant) -> None:
    api = caller(people.member(acme, role=Role.EDITOR))
    set_it = """mutation($value: JSON!) {
      setVariable(name: "region", value: $value, environment: STAGING) { ok errors { code } } }"""
    assert api.data(set_it, value={"eu": [1, None]})["setVariable"]["ok"]
    assert api.data("{ variables(environment: STAGING) }") == {
        "variables": {"region": {"eu": [1, None]}}
    }
    assert api.data("{ variables(environment: PRODUCTION) }") == {"variables": {}}
    drop = """mutation { deleteVariable(name: "region", environment: STAGING) {
      ok errors { code } } }"""
    assert api.data(drop)["deleteVariable"]["ok"]
    assert api.data(drop)["deleteVariable"]["errors"] == [{"code": "NOT_FOUND"}]


def test_a_connection_is_saved_shown_and_deleted(acme: Tenant) -> None:
    make.secret(acme)
    api = caller(acme)
    saved = api.data(SAVE, settings={"host": "db"}, secrets={"password": "API_KEY"})
    made = saved["saveConnection"]["connection"]
    assert made["name"] == "warehouse"
    assert api.data(CONNECTIONS)["connections"][0]["id"] == made["id"]
    one = api.data(
        "query($id: ID!) { node(id: $id) { ... on Connection { name } } }", id=made["id"]
    )
    assert one == {"node": {"name": "warehouse"}}
    drop = "mutation($id: ID!) { deleteConnection(id: $id) { ok errors { code } } }"
    assert api.data(drop, id=made["id"])["deleteConnection"]["ok"]
    assert api.data(CONNECTIONS) == {"connections": []}


@pytest.mark.parametrize(
    ("given", "code", "path"),
    [
        ({"secrets": {"password": "NOT_SET"}}, "SECRET_MISSING", ["secrets"]),
        ({"secrets": ["A"]}, "INVALID", ["secrets"]),
        ({"secrets": {"password": {"deep": 1}}}, "INVALID", ["secrets", "password"]),
        ({"settings": "x"}, "INVALID", ["settings"]),
    ],
)
def test_a_bad_connection_is_refused(
    acme: Tenant, given: dict[str, Any], code: str, path: list[str]
) -> None:
    answer = caller(acme).data(SAVE, **given)["saveConnection"]
    assert answer == {"connection": None, "errors": [{"code": code, "path": path}]}
    with scope.tenant(acme.id):
        assert not Connection.objects.exists()


def test_another_tenant_s_vault_is_empty(acme: Tenant, globex: Tenant) -> None:
    made = make.connection(acme)
    make.variable(acme)
    api = caller(globex)
    assert api.data(SECRETS) == {"secrets": []}
    assert api.data(CONNECTIONS) == {"connections": []}
    assert api.data("{ variables(environment: DEVELOPMENT) }") == {"variables": {}}
    drop = "mutation($id: ID!) { deleteConnection(id: $id) { ok errors { code message } } }"
    foreign = api.data(drop, id=str(made.pk))
    assert foreign == api.data(drop, id="01a20000-0000-7000-8000-000000000000")


@pytest.mark.parametrize("query", [SECRETS, CONNECTIONS])
def test_a_list_costs_the_same_however_long(acme: Tenant, query: str) -> None:
    api = caller(acme)
    make.connection(acme, name="first")
    api.data(query)
    with CaptureQueriesContext(connection) as few:
        api.data(query)
    for number in range(5):
        make.connection(acme, name=f"more {number}")
        make.secret(acme, name=f"MORE_{number}")
    with CaptureQueriesContext(connection) as many:
        api.data(query)
    assert len(many) == len(few)
