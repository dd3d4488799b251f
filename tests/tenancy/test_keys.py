"""API keys."""

from __future__ import annotations

import datetime as dt

import pytest

from apps.kit.clock import now
from apps.kit.errors import Forbidden, NotFound, QuotaExceeded, Refusal, Unauthenticated
from apps.kit.ids import uuid7
from apps.tenancy import scope
from apps.tenancy.actions import create_api_key, revoke_api_key
from apps.tenancy.actors import Actor, Permission, Role
from apps.tenancy.doors import actor_of_key
from apps.tenancy.limits import Metric, set_limits
from apps.tenancy.models import ApiKey, AuditRow
from tests.factories import tenancy as make

READ = [Permission.WORKFLOWS_READ.value]


def test_a_key_carries_its_tenant_and_is_not_stored(acme: make.Tenant) -> None:
    with scope.tenant(acme.id, actor=acme.owner):
        issued = create_api_key(actor=acme.owner, name="ci", scopes=READ)
        row = ApiKey.objects.get()

    assert issued.text.startswith(f"nsx_{acme.id.hex}_")
    assert issued.text.rpartition("_")[2] not in str(vars(row))


def test_a_key_acts_for_its_creator_within_its_scopes(acme: make.Tenant) -> None:
    with scope.tenant(acme.id, actor=acme.owner):
        issued = create_api_key(actor=acme.owner, name="ci", scopes=READ)

    actor = actor_of_key(issued.text, ip="127.0.0.1")

    assert actor.permissions == {Permission.WORKFLOWS_READ}
    assert (actor.user_id, actor.api_key_id) == (acme.owner.user_id, issued.row.pk)
    assert actor.ip == "127.0.0.1"


@pytest.mark.parametrize(
    ("name", "scopes", "expires_at"),
    [
        ("", READ, None),
        ("x" * 81, READ, None),
        ("ci", [], None),
        ("ci", ["everything"], None),
        ("ci", READ, dt.datetime(2026, 1, 1, tzinfo=dt.UTC)),
        ("ci", READ, dt.datetime(2099, 1, 1, tzinfo=dt.UTC)),
    ],
)
def test_bad_keys_are_refused(
    acme: make.Tenant, name: str, scopes: list[str], expires_at: dt.datetime | None
) -> None:
    with scope.tenant(acme.id, actor=acme.owner):
        with pytest.raises(Refusal):
            create_api_key(actor=acme.owner, name=name, scopes=scopes, expires_at=expires_at)
        assert not ApiKey.objects.exists()


def test_nobody_gives_away_more_than_they_have(acme: make.Tenant, viewer: Actor) -> None:
    with scope.tenant(acme.id, actor=viewer), pytest.raises(Forbidden):
        create_api_key(actor=viewer, name="ci", scopes=[Permission.WORKFLOWS_WRITE])


def test_no_key_makes_staff(acme: make.Tenant) -> None:
    with scope.tenant(acme.id, actor=acme.owner), pytest.raises(Forbidden):
        create_api_key(actor=acme.owner, name="ci", scopes=[Permission.PLATFORM_ADMIN])


def test_a_key_makes_no_keys(acme: make.Tenant) -> None:
    with scope.tenant(acme.id, actor=acme.owner):
        issued = create_api_key(actor=acme.owner, name="ci", scopes=READ)
        program = actor_of_key(issued.text)
        with pytest.raises(Forbidden):
            create_api_key(actor=program, name="another", scopes=READ)


def test_a_revoked_key_is_dead_and_stays_so(acme: make.Tenant) -> None:
    with scope.tenant(acme.id, actor=acme.owner):
        issued = create_api_key(actor=acme.owner, name="ci", scopes=READ)
        first = revoke_api_key(actor=acme.owner, key_id=issued.row.pk).revoked_at
        again = revoke_api_key(actor=acme.owner, key_id=issued.row.pk).revoked_at
        actions = [row.action for row in AuditRow.objects.order_by("at")]

    assert first == again
    assert actions == ["api_key.create", "api_key.revoke"]
    with pytest.raises(Unauthenticated):
        actor_of_key(issued.text)


def test_a_members_key_is_not_anothers_to_revoke(acme: make.Tenant, viewer: Actor) -> None:
    with scope.tenant(acme.id, actor=acme.owner):
        issued = create_api_key(actor=acme.owner, name="ci", scopes=READ)
        with pytest.raises(Forbidden):
            revoke_api_key(actor=viewer, key_id=issued.row.pk)


def test_a_foreign_key_is_not_found(acme: make.Tenant, globex: make.Tenant) -> None:
    with scope.tenant(globex.id, actor=globex.owner):
        foreign = create_api_key(actor=globex.owner, name="ci", scopes=READ).row.pk

    messages = []
    with scope.tenant(acme.id, actor=acme.owner):
        for key_id in (foreign, uuid7()):
            with pytest.raises(NotFound) as refusal:
                revoke_api_key(actor=acme.owner, key_id=key_id)
            messages.append(refusal.value.message)
    assert messages[0] == messages[1]


def test_too_many_keys_are_refused(acme: make.Tenant) -> None:
    with scope.tenant(acme.id, actor=acme.owner):
        set_limits({Metric.API_KEYS: 1})
        create_api_key(actor=acme.owner, name="one", scopes=READ)
        with pytest.raises(QuotaExceeded):
            create_api_key(actor=acme.owner, name="two", scopes=READ)
        assert ApiKey.objects.count() == 1


def test_an_expired_key_is_dead(acme: make.Tenant) -> None:
    with scope.tenant(acme.id, actor=acme.owner):
        issued = create_api_key(
            actor=acme.owner, name="ci", scopes=READ, expires_at=now() + dt.timedelta(days=1)
        )
        ApiKey.objects.update(expires_at=now() - dt.timedelta(seconds=1))
    with pytest.raises(Unauthenticated):
        actor_of_key(issued.text)


def test_an_admin_of_one_organization_is_nobody_in_another(
    acme: make.Tenant, globex: make.Tenant
) -> None:
    with scope.tenant(acme.id, actor=acme.owner):
        issued = create_api_key(actor=acme.owner, name="ci", scopes=READ)
    moved = issued.text.replace(acme.id.hex, globex.id.hex)

    assert make.member(acme, role=Role.ADMIN).tenant_id == acme.id
    with pytest.raises(Unauthenticated):
        actor_of_key(moved)
