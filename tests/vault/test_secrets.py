"""Setting, opening, deleting and re-wrapping secrets against the real database."""

from __future__ import annotations

import io
import os
import threading
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from django.conf import settings
from django.core.management import CommandError, call_command
from django.db import DatabaseError, connection, connections, transaction

from apps.kit.errors import ErrorCode, Forbidden, NotFound, QuotaExceeded, Refusal
from apps.tenancy import scope
from apps.tenancy.actors import Actor, Role
from apps.tenancy.errors import OutsideScope
from apps.tenancy.limits import Metric, allowance, set_limits
from apps.tenancy.models import AuditRow
from apps.vault.actions import delete_secret, save_connection, set_secret
from apps.vault.actions.checks import MAX_SECRET_BYTES
from apps.vault.actions.secrets import KEPT_VERSIONS
from apps.vault.errors import SecretInUse, SecretMissing, SecretUnreadable
from apps.vault.models import Connection, Secret, SecretVersion
from apps.vault.secrets import missing_secrets, open_secret, open_secrets
from tests.factories import tenancy as people
from tests.factories import vault as make
from tests.factories.tenancy import Tenant

pytestmark = pytest.mark.django_db

VALUE = "hunter2-very-secret"


def environment(of: Tenant, kind: str = "DEVELOPMENT") -> uuid.UUID:
    return of.environments[kind].pk


def count_of_rows(of: Tenant) -> tuple[int, int, int]:
    with scope.tenant(of.id):
        return (
            Secret.objects.count(),
            SecretVersion.objects.count(),
            AuditRow.objects.filter(action__startswith="secret.").count(),
        )


def test_a_secret_opens_in_its_environment(acme: Tenant) -> None:
    make.secret(acme, value=VALUE)
    with scope.tenant(acme.id):
        assert open_secret("API_KEY", environment(acme)) == VALUE


def test_a_new_value_is_a_new_version(acme: Tenant) -> None:
    make.secret(acme, value="old")
    assert make.secret(acme, value="new").current_version == 2
    with scope.tenant(acme.id):
        assert open_secret("API_KEY", environment(acme)) == "new"
        assert allowance(Metric.SECRETS).used == 1


def test_old_versions_do_not_pile_up(acme: Tenant) -> None:
    for number in range(KEPT_VERSIONS + 2):
        make.secret(acme, value=f"value {number}")
    with scope.tenant(acme.id):
        kept = SecretVersion.objects.order_by("version").values_list("version", flat=True)
        assert list(kept) == [3, 4, 5]


def test_there_is_no_fallback_between_environments(acme: Tenant) -> None:
    make.secret(acme, kind="DEVELOPMENT")
    with scope.tenant(acme.id), pytest.raises(SecretMissing) as refusal:
        open_secret("API_KEY", environment(acme, "PRODUCTION"))
    assert refusal.value.code is ErrorCode.SECRET_MISSING
    assert "production" in refusal.value.message


def test_the_first_missing_name_is_named(acme: Tenant) -> None:
    make.secret(acme)
    with scope.tenant(acme.id):
        assert missing_secrets(["B", "API_KEY", "A"], environment(acme)) == ("A", "B")
        with pytest.raises(SecretMissing, match="The secret A "):
            open_secrets(["B", "API_KEY", "A"], environment(acme))


def test_the_value_is_nowhere_in_the_database(acme: Tenant) -> None:
    made = make.secret(acme, value=VALUE)
    assert VALUE not in repr(made.__dict__)
    with scope.tenant(acme.id), connection.cursor() as cursor:
        for table in ("vault_secret", "vault_secretversion", "tenancy_auditrow"):
            cursor.execute(
                f"SELECT t::text, encode(convert_to(t::text, 'utf8'), 'hex') FROM {table} t"
            )
            for text, _ in cursor.fetchall():
                assert VALUE not in text
                assert VALUE.encode().hex() not in text


def test_every_act_is_audited_without_a_value(acme: Tenant) -> None:
    make.secret(acme, value=VALUE)
    make.secret(acme, value=VALUE + "2")
    with scope.enter(scope.Scope.of(acme.owner)):
        delete_secret(actor=acme.owner, environment_id=environment(acme), name="API_KEY")
    with scope.tenant(acme.id):
        rows = AuditRow.objects.filter(action__startswith="secret.").order_by("id")
        assert [row.action for row in rows] == ["secret.create", "secret.update", "secret.delete"]
        assert rows[1].after == {"name": "API_KEY", "environment": "development", "version": 2}


def test_a_deleted_secret_is_gone_with_its_versions(acme: Tenant) -> None:
    make.secret(acme)
    with scope.enter(scope.Scope.of(acme.owner)):
        delete_secret(actor=acme.owner, environment_id=environment(acme), name="API_KEY")
    assert count_of_rows(acme)[:2] == (0, 0)
    with scope.tenant(acme.id):
        assert allowance(Metric.SECRETS).used == 0


def test_a_secret_that_a_connection_names_stays(acme: Tenant) -> None:
    make.connection(acme)
    with scope.enter(scope.Scope.of(acme.owner)), pytest.raises(SecretInUse, match="warehouse"):
        delete_secret(actor=acme.owner, environment_id=environment(acme), name="API_KEY")
    assert count_of_rows(acme)[:2] == (1, 1)


@pytest.mark.parametrize(
    ("name", "value", "path"),
    [
        ("", "x", "name"),
        ("1ST", "x", "name"),
        ("A-B", "x", "name"),
        ("A" * 65, "x", "name"),
        ("NAME", "", "value"),
        ("NAME", "x" * (MAX_SECRET_BYTES + 1), "value"),
        ("NAME", "\ud800", "value"),
    ],
    ids=["empty", "digit", "hyphen", "long", "no value", "large", "surrogate"],
)
def test_a_bad_secret_is_refused_and_nothing_is_written(
    acme: Tenant, name: str, value: str, path: str
) -> None:
    with pytest.raises(Refusal) as refusal:
        make.secret(acme, name=name, value=value)
    assert refusal.value.path == (path,)
    assert value == "" or value[:3] not in refusal.value.message.split()
    assert count_of_rows(acme) == (0, 0, 0)


@pytest.mark.parametrize("role", [Role.EDITOR, Role.OPERATOR, Role.VIEWER])
def test_only_admins_set_secrets(acme: Tenant, role: Role) -> None:
    actor = people.member(acme, role=role)
    with scope.enter(scope.Scope.of(actor)), pytest.raises(Forbidden):
        set_secret(actor=actor, environment_id=environment(acme), name="A", value="x")
    assert count_of_rows(acme) == (0, 0, 0)


def test_the_plan_limits_how_many(acme: Tenant) -> None:
    with scope.tenant(acme.id):
        set_limits({Metric.SECRETS: 1})
    make.secret(acme, name="FIRST")
    with pytest.raises(QuotaExceeded):
        make.secret(acme, name="SECOND")
    make.secret(acme, name="FIRST", value="again")
    assert count_of_rows(acme) == (1, 2, 2)


def test_what_is_no_name_cannot_be_deleted(acme: Tenant) -> None:
    with scope.enter(scope.Scope.of(acme.owner)), pytest.raises(Refusal) as refusal:
        delete_secret(actor=acme.owner, environment_id=environment(acme), name="\0")
    assert refusal.value.path == ("name",)


def test_an_unknown_name_cannot_be_deleted(acme: Tenant) -> None:
    with scope.enter(scope.Scope.of(acme.owner)), pytest.raises(NotFound):
        delete_secret(actor=acme.owner, environment_id=environment(acme), name="NONE")


# Isolation


def test_another_tenant_sees_no_secret(acme: Tenant, globex: Tenant) -> None:
    make.secret(acme)
    assert count_of_rows(globex) == (0, 0, 0)
    with scope.tenant(globex.id), pytest.raises(SecretMissing):
        open_secret("API_KEY", environment(acme))


def test_another_tenant_s_environment_is_as_unknown_as_a_random_one(
    acme: Tenant, globex: Tenant
) -> None:
    said = []
    for place in (environment(acme), uuid.uuid4()):
        with scope.enter(scope.Scope.of(globex.owner)), pytest.raises(NotFound) as refusal:
            set_secret(actor=globex.owner, environment_id=place, name="A", value="x")
        said.append((refusal.value.message, refusal.value.code, refusal.value.path))
    assert said[0] == said[1]
    assert count_of_rows(globex) == (0, 0, 0)


def test_without_a_scope_nothing_is_read() -> None:
    with pytest.raises(OutsideScope):
        list(Secret.objects.all())


def test_raw_sql_of_another_tenant_finds_no_row(acme: Tenant, globex: Tenant) -> None:
    make.secret(acme)
    with scope.tenant(globex.id), connection.cursor() as cursor:
        for table in ("vault_secret", "vault_secretversion", "vault_variable", "vault_connection"):
            cursor.execute(f"SELECT count(*) FROM {table}")
            assert cursor.fetchone() == (0,)


def test_a_version_cannot_point_at_another_tenant_s_secret(acme: Tenant, globex: Tenant) -> None:
    foreign = make.secret(acme)
    with pytest.raises(DatabaseError), scope.tenant(globex.id), transaction.atomic():
        SecretVersion.objects.create(
            secret_id=foreign.pk,
            version=9,
            algorithm="A256GCM/1",
            key_id="k",
            wrapped_key=b"",
            nonce=b"",
            ciphertext=b"",
        )


def test_a_ciphertext_copied_to_another_tenant_does_not_open(acme: Tenant, globex: Tenant) -> None:
    make.secret(acme, value=VALUE)
    make.secret(globex, value="other")
    with scope.tenant(acme.id):
        stolen = SecretVersion.objects.get()
    with scope.tenant(globex.id):
        SecretVersion.objects.update(
            key_id=stolen.key_id,
            wrapped_key=stolen.wrapped_key,
            nonce=stolen.nonce,
            ciphertext=stolen.ciphertext,
        )
        with pytest.raises(SecretUnreadable) as failure:
            open_secret("API_KEY", environment(globex))
    assert VALUE not in str(failure.value)


def test_an_older_version_put_back_does_not_open(acme: Tenant) -> None:
    make.secret(acme, value="old")
    make.secret(acme, value="new")
    with scope.tenant(acme.id):
        old = SecretVersion.objects.get(version=1)
        SecretVersion.objects.filter(version=2).update(
            wrapped_key=old.wrapped_key, nonce=old.nonce, ciphertext=old.ciphertext
        )
        with pytest.raises(SecretUnreadable):
            open_secret("API_KEY", environment(acme))


# Rotation of the key-encryption key


@pytest.fixture
def rotated(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Call it to make a fresh key the current one; the present key becomes the previous."""

    def rotate(*, keep: bool = True) -> None:
        previous = (settings.KEY_ENCRYPTION_KEY,) if keep else ()
        monkeypatch.setattr(settings, "KEY_ENCRYPTION_KEY", os.urandom(32))
        monkeypatch.setattr(settings, "PREVIOUS_KEY_ENCRYPTION_KEYS", previous)

    return rotate


def rewrap_all() -> str:
    out = io.StringIO()
    call_command("rewrap_secrets", stdout=out)
    return out.getvalue()


def test_rotation_reaches_every_tenant_and_may_run_again(
    acme: Tenant, globex: Tenant, rotated: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    make.secret(acme, value=VALUE)
    make.secret(globex, value="other")
    rotated()
    make.secret(globex, name="AFTER")
    assert "2 re-wrapped in 2 organizations" in rewrap_all()
    assert "0 re-wrapped in 2 organizations" in rewrap_all()
    # The previous key may go now.
    monkeypatch.setattr(settings, "PREVIOUS_KEY_ENCRYPTION_KEYS", ())
    with scope.tenant(acme.id):
        assert open_secret("API_KEY", environment(acme)) == VALUE
    with scope.tenant(globex.id):
        assert open_secret("API_KEY", environment(globex)) == "other"


def test_rotation_names_what_does_not_open_and_moves_the_rest(acme: Tenant, rotated: Any) -> None:
    make.secret(acme, name="LOST")
    rotated(keep=False)
    make.secret(acme, name="OLD")
    rotated()
    with pytest.raises(CommandError, match="1 secret versions do not open"):
        rewrap_all()
    with scope.tenant(acme.id):
        assert open_secret("OLD", environment(acme)) == "s3cret"
        with pytest.raises(SecretUnreadable):
            open_secret("LOST", environment(acme))


def at_once(*acts: Callable[[], Any]) -> list[BaseException]:
    """Run acts in threads that begin together; what they raised."""
    gate, errors = threading.Barrier(len(acts)), list[BaseException]()

    def run(act: Callable[[], Any]) -> None:
        try:
            gate.wait(10)
            act()
        except Exception as error:  # whatever it is, the test wants to see it
            errors.append(error)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=run, args=(act,)) for act in acts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    return errors


@pytest.mark.django_db(transaction=True)
def test_two_first_writers_make_two_versions_of_one_secret(acme: Tenant) -> None:
    assert at_once(*[lambda: make.secret(acme, value="x")] * 3) == []
    with scope.tenant(acme.id):
        assert Secret.objects.get().current_version == 3
        assert allowance(Metric.SECRETS).used == 1
        assert open_secret("API_KEY", environment(acme)) == "x"


@pytest.mark.django_db(transaction=True)
def test_a_connection_never_names_a_secret_that_was_deleted_meanwhile(acme: Tenant) -> None:
    make.secret(acme)

    def delete() -> None:
        with scope.enter(scope.Scope.of(acme.owner)):
            delete_secret(actor=acme.owner, environment_id=environment(acme), name="API_KEY")

    def save() -> None:
        with scope.enter(scope.Scope.of(acme.owner)):
            save_connection(
                actor=acme.owner,
                environment_id=environment(acme),
                name="warehouse",
                connector_type="postgresql",
                settings={},
                secrets={"password": "API_KEY"},
            )

    (lost,) = at_once(delete, save)
    assert isinstance(lost, SecretInUse | SecretMissing)
    with scope.tenant(acme.id):
        assert Secret.objects.count() == Connection.objects.count()


def test_a_viewer_is_an_actor_like_any_other(acme: Tenant, viewer: Actor) -> None:
    with scope.enter(scope.Scope.of(viewer)), pytest.raises(Forbidden):
        delete_secret(actor=viewer, environment_id=environment(acme), name="API_KEY")
