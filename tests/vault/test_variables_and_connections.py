"""Variables and connections: written by those who may, bounded, audited, kept apart."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

from apps.kit.errors import ErrorCode, Forbidden, NotFound, Refusal
from apps.tenancy import scope
from apps.tenancy.actors import Actor, Role
from apps.tenancy.models import AuditRow
from apps.vault import models
from apps.vault.actions import (
    delete_connection,
    delete_variable,
    save_connection,
    set_variable,
)
from apps.vault.errors import SecretMissing
from apps.vault.models import Connection, Variable
from apps.vault.secrets import variables_of
from tests.factories import tenancy as people
from tests.factories import vault as make
from tests.factories.tenancy import Tenant

pytestmark = pytest.mark.django_db


def environment(of: Tenant, kind: str = "DEVELOPMENT") -> uuid.UUID:
    return of.environments[kind].pk


def save(actor: Actor, place: uuid.UUID, **changed: Any) -> Connection:
    given: dict[str, Any] = {
        "name": "warehouse",
        "connector_type": "postgresql",
        "settings": {},
        "secrets": {},
    }
    with scope.enter(scope.Scope.of(actor)):
        return save_connection(actor=actor, environment_id=place, **{**given, **changed})


@pytest.mark.parametrize("value", ["eu", 7, 1.5, True, [1, 2], {"a": {"b": []}}])
def test_a_variable_is_any_json(acme: Tenant, value: Any) -> None:
    make.variable(acme, value=value)
    with scope.tenant(acme.id):
        assert variables_of(environment(acme)) == {"region": value}
        assert variables_of(environment(acme, "STAGING")) == {}


def test_a_variable_changes_in_place(acme: Tenant) -> None:
    first = make.variable(acme, value=1)
    assert make.variable(acme, value=2).pk == first.pk
    with scope.tenant(acme.id):
        actions = AuditRow.objects.order_by("id").values_list("action", flat=True)
        assert list(actions) == ["variable.create", "variable.update"]


def _nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize(
    "value",
    [
        None,
        float("nan"),
        float("inf"),
        "x" * 9000,
        object(),
        _nested(100_000),
        "\0",
        ["\ud800"],
        {"\0": 1},
    ],
    ids=["null", "nan", "infinity", "large", "no json", "deep", "nul", "surrogate", "nul key"],
)
def test_a_bad_value_is_refused_and_nothing_is_written(acme: Tenant, value: Any) -> None:
    with pytest.raises(Refusal) as refusal:
        make.variable(acme, value=value)
    assert refusal.value.path == ("value",)
    with scope.tenant(acme.id):
        assert not Variable.objects.exists()
        assert not AuditRow.objects.exists()


def test_an_environment_holds_so_many_variables(
    acme: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("apps.vault.actions.variables.MAX_VARIABLES", 1)
    make.variable(acme, name="first")
    with pytest.raises(Refusal) as refusal:
        make.variable(acme, name="second")
    assert refusal.value.code is ErrorCode.QUOTA_EXCEEDED
    make.variable(acme, name="first", value="changed")
    make.variable(acme, name="second", kind="STAGING")


@pytest.mark.parametrize(
    ("role", "may"), [(Role.ADMIN, True), (Role.EDITOR, True), (Role.OPERATOR, False)]
)
def test_editors_set_variables(acme: Tenant, role: Role, may: bool) -> None:
    actor = people.member(acme, role=role)
    with scope.enter(scope.Scope.of(actor)):
        given: Any = {"actor": actor, "environment_id": environment(acme), "name": "a", "value": 1}
        if may:
            set_variable(**given)
        else:
            with pytest.raises(Forbidden):
                set_variable(**given)


def test_a_deleted_variable_is_gone(acme: Tenant) -> None:
    make.variable(acme)
    with scope.enter(scope.Scope.of(acme.owner)):
        delete_variable(actor=acme.owner, environment_id=environment(acme), name="region")
        with pytest.raises(NotFound):
            delete_variable(actor=acme.owner, environment_id=environment(acme), name="region")


def test_a_connection_names_secrets_and_holds_none(acme: Tenant) -> None:
    make.connection(acme)
    with scope.tenant(acme.id):
        kept = Connection.objects.get()
        assert kept.secrets == {"password": "API_KEY"}
        assert "s3cret" not in repr(kept.__dict__)


def test_a_connection_needs_its_secrets_here(acme: Tenant) -> None:
    make.secret(acme, kind="DEVELOPMENT")
    with pytest.raises(SecretMissing) as refusal:
        save(acme.owner, environment(acme, "PRODUCTION"), secrets={"password": "API_KEY"})
    assert refusal.value.path == ("secrets",)
    with scope.tenant(acme.id):
        assert not Connection.objects.exists()


def test_saving_again_replaces_and_forgets_the_last_check(acme: Tenant) -> None:
    first = save(acme.owner, environment(acme), settings={"host": "a"})
    with scope.tenant(acme.id):
        Connection.objects.update(healthy=True)
    again = save(acme.owner, environment(acme), settings={"host": "b"})
    assert again.pk == first.pk
    with scope.tenant(acme.id):
        kept = Connection.objects.get()
        assert (kept.settings, kept.healthy) == ({"host": "b"}, None)


@pytest.mark.parametrize(
    ("changed", "path"),
    [
        ({"name": "../etc"}, ("name",)),
        ({"connector_type": ""}, ("connectorType",)),
        ({"settings": {f"f{n}": 1 for n in range(33)}}, ("settings",)),
        ({"settings": {"host": "x" * 9000}}, ("settings",)),
        ({"secrets": {"pass word": "A"}}, ("secrets", "pass word")),
        ({"secrets": {"password": 7}}, ("secrets", "password")),
    ],
)
def test_a_bad_connection_is_refused(
    acme: Tenant, changed: dict[str, Any], path: tuple[str, ...]
) -> None:
    with pytest.raises(Refusal) as refusal:
        save(acme.owner, environment(acme), **changed)
    assert refusal.value.path == path
    with scope.tenant(acme.id):
        assert not Connection.objects.exists()


def test_editors_do_not_save_connections(acme: Tenant) -> None:
    with pytest.raises(Forbidden):
        save(people.member(acme, role=Role.EDITOR), environment(acme))


def test_another_tenant_s_connection_is_as_unknown_as_a_random_one(
    acme: Tenant, globex: Tenant
) -> None:
    foreign = make.connection(acme)
    said = set()
    for key in (foreign.pk, uuid.uuid4()):
        with scope.enter(scope.Scope.of(globex.owner)), pytest.raises(NotFound) as refusal:
            delete_connection(actor=globex.owner, connection_id=key)
        said.add(refusal.value.message)
    assert len(said) == 1
    with scope.tenant(acme.id):
        assert Connection.objects.count() == 1


def test_a_deleted_connection_leaves_its_secret(acme: Tenant) -> None:
    made = make.connection(acme)
    with scope.enter(scope.Scope.of(acme.owner)):
        delete_connection(actor=acme.owner, connection_id=made.pk)
    with scope.tenant(acme.id):
        assert not Connection.objects.exists()
        assert models.Secret.objects.count() == 1
