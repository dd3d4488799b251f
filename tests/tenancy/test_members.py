"""Invitations, roles, leaving."""

from __future__ import annotations

import datetime as dt
import re

import pytest
from django.core import mail

from apps.kit.errors import AlreadyExists, Forbidden, NotFound, QuotaExceeded, Refusal
from apps.kit.ids import uuid7
from apps.tenancy import scope
from apps.tenancy.actions import (
    accept_invitation,
    change_member_role,
    create_api_key,
    invite_member,
    remove_member,
)
from apps.tenancy.actors import Actor, Permission, Role
from apps.tenancy.doors import actor_of_key, place_of, still_holds
from apps.tenancy.errors import LastOwner
from apps.tenancy.limits import Metric, set_limits
from apps.tenancy.models import ApiKey, AuditRow, Invitation, Membership
from tests.factories import tenancy as make


def invite(acme: make.Tenant, email: str, role: str = "editor", *, by: Actor | None = None) -> None:
    """As a door would."""
    with scope.tenant(acme.id, actor=by or acme.owner):
        invite_member(actor=by or acme.owner, email=email, role=role)


def link() -> str:
    """The token in the last mail."""
    found = re.search(r"/invitations/([0-9a-f.]+)/", str(mail.outbox[-1].body))
    assert found is not None
    return found.group(1)


@pytest.mark.django_db(transaction=True)
def test_an_invitation_becomes_a_membership(acme: make.Tenant) -> None:
    ada = make.user("ada@example.com")
    invite(acme, "Ada@Example.com")

    accept_invitation(user=ada, token=link())

    place = place_of(ada, slug="acme")
    assert place is not None
    assert place.actor.role is Role.EDITOR


@pytest.mark.django_db(transaction=True)
def test_an_invitation_works_once(acme: make.Tenant) -> None:
    ada = make.user("ada@example.com")
    invite(acme, "ada@example.com")
    accept_invitation(user=ada, token=link())

    with pytest.raises(NotFound):
        accept_invitation(user=ada, token=link())


@pytest.mark.django_db(transaction=True)
def test_a_new_invitation_kills_the_old_link(acme: make.Tenant) -> None:
    invite(acme, "ada@example.com")
    old = link()
    invite(acme, "ada@example.com", "viewer")

    with pytest.raises(NotFound):
        accept_invitation(user=make.user("ada@example.com"), token=old)


@pytest.mark.django_db(transaction=True)
def test_somebody_elses_invitation_gives_no_place(acme: make.Tenant) -> None:
    invite(acme, "ada@example.com")
    mallory = make.user("mallory@example.com")

    with pytest.raises(Forbidden):
        accept_invitation(user=mallory, token=link())
    assert place_of(mallory, slug="acme") is None


@pytest.mark.django_db(transaction=True)
def test_an_old_invitation_is_over(acme: make.Tenant) -> None:
    invite(acme, "ada@example.com")
    with scope.tenant(acme.id):
        Invitation.objects.update(expires_at=dt.datetime(2026, 1, 1, tzinfo=dt.UTC))

    with pytest.raises(NotFound):
        accept_invitation(user=make.user("ada@example.com"), token=link())


@pytest.mark.parametrize("token", ["", "x", "0" * 32 + "." + "0" * 64, "../../etc"])
def test_any_other_token_is_not_found(acme: make.Tenant, token: str) -> None:
    with pytest.raises(NotFound):
        accept_invitation(user=make.user(), token=token)


def test_a_viewer_invites_nobody(acme: make.Tenant, viewer: Actor) -> None:
    with pytest.raises(Forbidden):
        invite(acme, "ada@example.com", by=viewer)

    with scope.tenant(acme.id):
        assert not Invitation.objects.exists()
        assert not AuditRow.objects.exists()


def test_only_an_owner_makes_an_owner(acme: make.Tenant) -> None:
    with pytest.raises(Forbidden):
        invite(acme, "ada@example.com", "owner", by=make.member(acme, role=Role.ADMIN))


def test_a_member_is_not_invited_again(acme: make.Tenant) -> None:
    with scope.tenant(acme.id):
        email = Membership.objects.select_related("user").get().user.email

    with pytest.raises(AlreadyExists):
        invite(acme, email.upper())


@pytest.mark.parametrize(("email", "role"), [("nobody", "editor"), ("a@example.com", "king")])
def test_bad_invitations_are_refused(acme: make.Tenant, email: str, role: str) -> None:
    with pytest.raises(Refusal):
        invite(acme, email, role)


@pytest.mark.django_db(transaction=True)
def test_a_full_organization_takes_nobody_in(acme: make.Tenant) -> None:
    invite(acme, "ada@example.com")
    ada = make.user("ada@example.com")
    with scope.tenant(acme.id):
        set_limits({Metric.MEMBERS: 0})

    with pytest.raises(QuotaExceeded):
        accept_invitation(user=ada, token=link())
    assert place_of(ada, slug="acme") is None


def test_removing_a_member_kills_the_keys_at_once(acme: make.Tenant) -> None:
    editor = make.member(acme, role=Role.EDITOR)
    with scope.tenant(acme.id, actor=editor):
        key = create_api_key(actor=editor, name="k", scopes=[Permission.WORKFLOWS_READ])
    program = actor_of_key(key.text)

    with scope.tenant(acme.id, actor=acme.owner):
        remove_member(actor=acme.owner, user_id=editor.user_id or uuid7())

    with pytest.raises(Refusal):
        actor_of_key(key.text)
    assert not still_holds(program)
    assert not still_holds(editor)
    with scope.tenant(acme.id):
        assert ApiKey.objects.get().revoked_at is not None


def test_everybody_may_leave(acme: make.Tenant, viewer: Actor) -> None:
    with scope.tenant(acme.id, actor=viewer):
        remove_member(actor=viewer, user_id=viewer.user_id or uuid7())
        assert Membership.objects.count() == 1


def test_the_last_owner_stays(acme: make.Tenant) -> None:
    with scope.tenant(acme.id, actor=acme.owner), pytest.raises(LastOwner):
        remove_member(actor=acme.owner, user_id=acme.owner.user_id or uuid7())


def test_the_last_owner_stays_an_owner(acme: make.Tenant) -> None:
    with scope.tenant(acme.id, actor=acme.owner), pytest.raises(LastOwner):
        change_member_role(actor=acme.owner, user_id=acme.owner.user_id or uuid7(), role="viewer")


def test_an_admin_does_not_touch_an_owner(acme: make.Tenant) -> None:
    admin = make.member(acme, role=Role.ADMIN)
    with scope.tenant(acme.id, actor=admin), pytest.raises(Forbidden):
        change_member_role(actor=admin, user_id=acme.owner.user_id or uuid7(), role="viewer")


def test_a_changed_role_holds_at_once(acme: make.Tenant, viewer: Actor) -> None:
    with scope.tenant(acme.id, actor=acme.owner):
        change_member_role(actor=acme.owner, user_id=viewer.user_id or uuid7(), role="EDITOR")
        row = AuditRow.objects.get()
    assert (row.before, row.after) == ({"role": "viewer"}, {"role": "editor"})
    assert not still_holds(viewer)


def test_a_member_of_another_organization_is_not_found(
    acme: make.Tenant, globex: make.Tenant
) -> None:
    with scope.tenant(acme.id, actor=acme.owner):
        with pytest.raises(NotFound) as foreign:
            remove_member(actor=acme.owner, user_id=globex.owner.user_id or uuid7())
        with pytest.raises(NotFound) as random:
            remove_member(actor=acme.owner, user_id=uuid7())
    assert foreign.value.message == random.value.message
