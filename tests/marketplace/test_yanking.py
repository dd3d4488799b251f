"""Yanking: off the shelf, never out of the book."""

from __future__ import annotations

import pytest

from apps.kit.errors import (
    Conflict,
    Forbidden,
    NotFound,
)
from apps.marketplace import actions
from apps.marketplace.models import Listing, Release, SearchRow
from apps.marketplace.terms import Risk
from apps.tenancy import scope
from apps.tenancy.actors import Actor
from apps.tenancy.models import AuditRow
from tests.factories import marketplace as make
from tests.factories.tenancy import Tenant, staff


def test_yanking_takes_it_off_the_shelf_and_keeps_the_row(acme: Tenant) -> None:
    release = make.published(acme)
    with scope.tenant(acme.id, actor=acme.owner):
        yanked = actions.yank_release(
            actor=acme.owner, release_id=release.pk, reason="Wrong numbers.", severity=Risk.HIGH
        )
        listing = Listing.objects.get()
        assert (yanked.status, yanked.yank_reason) == ("YANKED", "Wrong numbers.")
        assert (listing.latest_version, listing.latest_release_id) == ("", None)
    assert not SearchRow.objects.exists()


def test_yanking_the_highest_falls_back_to_the_one_before(acme: Tenant) -> None:
    make.published(acme)
    second = make.published(acme, version="1.1.0")
    with scope.tenant(acme.id, actor=acme.owner):
        actions.yank_release(
            actor=acme.owner, release_id=second.pk, reason="Bug.", severity=Risk.LOW
        )
        assert Listing.objects.get().latest_version == "1.0.0"
    assert SearchRow.objects.exists()


def test_only_the_publisher_yanks(acme: Tenant, globex: Tenant, viewer: Actor) -> None:
    release = make.published(acme)
    for actor, refusal in ((viewer, Forbidden), (globex.owner, NotFound)):
        assert actor.tenant_id is not None
        with scope.tenant(actor.tenant_id, actor=actor), pytest.raises(refusal):
            actions.yank_release(
                actor=actor, release_id=release.pk, reason="Mine.", severity=Risk.LOW
            )
    with scope.tenant(acme.id):
        assert Release.objects.get().status == "PUBLISHED"


def test_staff_yank_in_the_publishers_audit_trail(acme: Tenant) -> None:
    release = make.published(acme)
    person = staff()
    with scope.platform(actor=person):
        actions.yank_release(
            actor=person, release_id=release.pk, reason="Malware.", severity=Risk.CRITICAL
        )
    with scope.tenant(acme.id):
        assert Release.objects.get().status == "YANKED"
        assert AuditRow.objects.get(action="marketplace.yank").user_id == person.user_id


def test_an_unpublished_release_cannot_be_yanked(acme: Tenant) -> None:
    release = make.scanned(acme)
    with scope.tenant(acme.id, actor=acme.owner), pytest.raises(Conflict):
        actions.yank_release(
            actor=acme.owner, release_id=release.pk, reason="No.", severity=Risk.LOW
        )
