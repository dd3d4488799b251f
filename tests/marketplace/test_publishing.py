"""Publishing: scan, approval, shelf, and who sees what on the way."""

from __future__ import annotations

import pytest

from apps.marketplace import actions
from apps.marketplace.models import Listing, Publisher, Release, SearchRow
from apps.marketplace.sources import Source
from apps.marketplace.terms import Channel, Visibility
from apps.security_scan.models import Scan
from apps.tenancy import scope
from apps.tenancy.models import AuditRow
from apps.versions.actions import commit_version, decide_approval
from apps.versions.models import Approval
from apps.workflows.actions import create_workflow
from tests.factories import marketplace as make
from tests.factories.tenancy import Tenant, staff
from tests.marketplace.publishes import EVIL, publish


def test_a_release_is_written_and_its_scan_asked_for(acme: Tenant) -> None:
    release = publish(acme)
    with scope.tenant(acme.id):
        listing = Listing.objects.get()
        scan = Scan.objects.get()
        assert release.scan_id == scan.pk
        assert (release.status, listing.status) == ("SCANNING", "IN_REVIEW")
        assert (listing.slug, listing.is_public) == ("cars-etl-with-quarantine", False)
        assert (scan.subject_type, scan.subject_id) == ("ListingVersion", release.pk)
        assert release.digest.startswith("sha256:")
        assert AuditRow.objects.filter(action="marketplace.publish").exists()


def test_a_clean_scan_asks_staff_for_approval(acme: Tenant) -> None:
    release = make.scanned(acme)
    assert (release.status, release.scan_summary["verdict"]) == ("AWAITING_APPROVAL", "PASSED")
    with scope.platform(actor=staff()):
        approval = Approval.objects.get(pk=release.approval_id)
        assert (approval.kind, approval.status) == ("LISTING_PUBLISH", "PENDING")
        assert approval.requested_by_id == acme.owner.user_id


def test_a_blocking_finding_rejects_the_release(acme: Tenant) -> None:
    release = make.scanned(acme, EVIL)
    assert release.status == "REJECTED"
    found = [(f["severity"], f["rule"], f["nodeId"]) for f in release.scan_summary["findings"]]
    assert found == [
        ("CRITICAL", "secret.token", "send"),
        ("HIGH", "code.dynamic-execution", "clean"),
    ]
    with scope.tenant(acme.id):
        assert Listing.objects.get().status == "DRAFT"
        assert not Approval.objects.exists()


def test_approval_puts_the_release_on_the_shelf(acme: Tenant, globex: Tenant) -> None:
    release = make.published(acme)
    assert (release.status, release.is_public) == ("PUBLISHED", True)
    listing = release.listing
    assert (listing.status, listing.latest_version) == ("PUBLISHED", "1.0.0")
    assert SearchRow.objects.get().listing_id == listing.pk
    with scope.tenant(globex.id):
        assert Listing.objects.get(pk=listing.pk).name == "Cars ETL with quarantine"
        assert Release.objects.get(pk=release.pk).digest == release.digest
        assert Publisher.objects.get().handle == "acme"
    with scope.tenant(acme.id):
        assert AuditRow.objects.filter(action="marketplace.release").exists()


def test_a_rejection_keeps_its_reason_and_shows_nothing(acme: Tenant, globex: Tenant) -> None:
    release = make.scanned(acme)
    person = staff()
    assert release.approval_id is not None
    with scope.platform(actor=person):
        decide_approval(
            actor=person, approval_id=release.approval_id, approve=False, comment="Too vague."
        )
    with scope.tenant(acme.id):
        refused = Release.objects.get(pk=release.pk)
        assert (refused.status, refused.decision_comment) == ("REJECTED", "Too vague.")
        assert Listing.objects.get().status == "DRAFT"
    with scope.tenant(globex.id):
        assert not Listing.objects.exists()
    assert not SearchRow.objects.exists()


@pytest.mark.parametrize("state", ["submitted", "scanned"])
def test_others_see_nothing_unpublished(acme: Tenant, globex: Tenant, state: str) -> None:
    release = getattr(make, state)(acme)
    with scope.tenant(globex.id, actor=globex.owner):
        assert not Listing.objects.exists()
        assert not Release.objects.filter(pk=release.pk).exists()
        assert not Publisher.objects.exists()
        assert not Release.unscoped.exists()


def test_a_private_listing_stays_with_its_publisher(acme: Tenant, globex: Tenant) -> None:
    release = make.published(acme, visibility=Visibility.PRIVATE)
    with scope.tenant(globex.id):
        assert not Listing.objects.exists()
        assert not Release.objects.exists()
    with scope.tenant(acme.id):
        assert Listing.objects.get().status == "PUBLISHED"
    assert SearchRow.objects.get().audience == acme.id
    assert not release.is_public


def test_a_second_release_changes_the_listing_only_when_published(acme: Tenant) -> None:
    make.published(acme)
    second = make.scanned(acme, version="1.1.0", tagline="Now faster")
    with scope.tenant(acme.id):
        assert Listing.objects.get().tagline == "Clean rows in, bad rows aside"
    person = staff()
    assert second.approval_id is not None
    with scope.platform(actor=person):
        decide_approval(actor=person, approval_id=second.approval_id, approve=True)
    with scope.tenant(acme.id):
        listing = Listing.objects.get()
        assert (listing.tagline, listing.latest_version) == ("Now faster", "1.1.0")
        assert Release.objects.filter(status="PUBLISHED").count() == 2


def test_a_prerelease_is_never_the_latest_stable(acme: Tenant) -> None:
    make.published(acme)
    make.published(acme, version="2.0.0-beta.1", channel=Channel.BETA)
    with scope.tenant(acme.id):
        assert Listing.objects.get().latest_version == "1.0.0"


def test_a_committed_version_can_be_published(acme: Tenant) -> None:
    with scope.tenant(acme.id, actor=acme.owner):
        workflow = create_workflow(actor=acme.owner, document=make.document())
        version = commit_version(actor=acme.owner, workflow_id=workflow.pk, message="First")
    release = publish(acme, source=Source(version_id=version.pk))
    assert (release.source_version_id, release.content_hash) == (version.pk, version.content_hash)


def test_the_same_request_again_gives_the_same_release(acme: Tenant) -> None:
    first = publish(acme, idempotency_key="k1")
    again = publish(acme, idempotency_key="k1")
    assert first.pk == again.pk
    with scope.tenant(acme.id):
        assert Release.objects.count() == 1
        assert Scan.objects.count() == 1


def test_an_old_verdict_changes_nothing(acme: Tenant) -> None:
    release = make.published(acme)
    with scope.tenant(acme.id, actor=acme.owner):
        assert release.scan_id is not None
        actions.finish_scan(actor=acme.owner, release_id=release.pk, scan_id=release.scan_id)
        assert Release.objects.get().status == "PUBLISHED"
