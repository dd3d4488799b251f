"""Publish, scan, approve: the life of a release, and every way it is refused."""

from __future__ import annotations

import uuid
from dataclasses import replace
from typing import Any

import pytest

from apps.kit.errors import (
    Conflict,
    ErrorCode,
    Forbidden,
    IdempotencyMismatch,
    NotFound,
    QuotaExceeded,
    Refusal,
)
from apps.marketplace import actions
from apps.marketplace.actions import publishing
from apps.marketplace.errors import ScanRefused, VersionConflict
from apps.marketplace.models import Listing, Publisher, Release, SearchRow
from apps.marketplace.sources import Source
from apps.marketplace.submission import Pricing
from apps.marketplace.terms import Channel, PricingModel, Risk, Visibility
from apps.security_scan.models import Scan
from apps.tenancy import scope
from apps.tenancy.actors import Actor, Permission
from apps.tenancy.models import AuditRow
from apps.versions.actions import commit_version, decide_approval
from apps.versions.models import Approval
from apps.workflows.actions import create_workflow
from apps.workflows.errors import GraphInvalid
from tests.factories import marketplace as make
from tests.factories.tenancy import Tenant, staff

EVIL = make.document(
    make.node("test.code", id="clean", code="rows = eval(value)"),
    make.node("test.text", id="send", text="token ghp_" + "aB3dE5fG7hI9jK1lM3nO5pQ7rS9tU1vW3xY5"),
)


def publish(of: Tenant, actor: Actor | None = None, **changes: Any) -> Release:
    key = changes.pop("idempotency_key", None)
    source = changes.pop("source", Source(document=make.document()))
    with scope.tenant(of.id, actor=actor or of.owner):
        return actions.publish_release(
            actor=actor or of.owner,
            source=source,
            submission=replace(make.SUBMISSION, **changes),
            idempotency_key=key,
        )


def nothing_written(of: Tenant) -> bool:
    with scope.tenant(of.id):
        kinds = (Listing, Release, Scan)
        return not any(kind.objects.filter(tenant_id=of.id).exists() for kind in kinds)


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


def test_the_publisher_cannot_approve_its_own(acme: Tenant) -> None:
    release = make.scanned(acme)
    assert release.approval_id is not None
    assert acme.owner.user_id is not None
    own_staff = Actor.staff(user_id=acme.owner.user_id, name="owner who is staff")
    for actor in (acme.owner, own_staff):
        opened = (
            scope.tenant(acme.id, actor=actor) if actor.tenant_id else scope.platform(actor=actor)
        )
        with opened, pytest.raises(Refusal):
            decide_approval(actor=actor, approval_id=release.approval_id, approve=True)
    with scope.tenant(acme.id):
        assert Release.objects.get(pk=release.pk).status == "AWAITING_APPROVAL"


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


def test_an_unlisted_listing_is_read_but_not_found(acme: Tenant, globex: Tenant) -> None:
    make.published(acme, visibility=Visibility.UNLISTED)
    with scope.tenant(globex.id):
        assert Listing.objects.exists()
    assert not SearchRow.objects.exists()


def test_the_same_version_again_is_a_conflict_with_a_suggestion(acme: Tenant) -> None:
    make.published(acme)
    with pytest.raises(VersionConflict) as refused:
        publish(acme)
    assert (refused.value.latest, refused.value.suggested) == ("1.0.0", "1.0.1")
    assert refused.value.path == ("metadata", "version")
    with scope.tenant(acme.id):
        assert Release.objects.count() == 1


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


def test_another_tenants_version_is_as_absent_as_a_random_one(acme: Tenant, globex: Tenant) -> None:
    with scope.tenant(globex.id, actor=globex.owner):
        workflow = create_workflow(actor=globex.owner, document=make.document())
        foreign = commit_version(actor=globex.owner, workflow_id=workflow.pk, message="First")
    sentences = []
    for version_id in (foreign.pk, uuid.uuid4()):
        with pytest.raises(NotFound) as refused:
            publish(acme, source=Source(version_id=version_id))
        sentences.append((refused.value.message, refused.value.path))
    assert sentences[0] == sentences[1]
    assert nothing_written(acme)


def test_another_tenants_listing_is_not_found(acme: Tenant, globex: Tenant) -> None:
    theirs = make.listing(globex)
    with pytest.raises(NotFound):
        publish(acme, listing_id=theirs.pk, version="9.0.0")
    assert nothing_written(acme)


def test_nobody_publishes_in_anothers_name(acme: Tenant, globex: Tenant) -> None:
    theirs = make.listing(globex).publisher_id
    for publisher_id in (theirs, uuid.uuid4()):
        with pytest.raises(NotFound) as refused:
            publish(acme, publisher_id=publisher_id)
        assert refused.value.path == ("metadata", "publisherId")
    assert nothing_written(acme)
    own = make.listing(acme).publisher_id
    assert publish(acme, publisher_id=own, version="1.1.0").version == "1.1.0"


@pytest.mark.parametrize(
    ("changes", "path"),
    [
        ({"name": ""}, "name"),
        ({"name": "x" * 201}, "name"),
        ({"description": "  "}, "description"),
        ({"version": "one"}, "version"),
        ({"platform": "newest"}, "platform"),
        ({"license": "WTF"}, "license"),
        ({"tags": ("x",) * 11}, "tags"),
        ({"tags": ("",)}, "tags"),
        ({"version": "1.0.0-beta"}, "channel"),
        ({"pricing": Pricing(model=PricingModel.FREE, price_minor=100)}, "pricing"),
        ({"pricing": Pricing(model=PricingModel.SUBSCRIPTION, price_minor=100)}, "pricing"),
        ({"changelog": "null \x00"}, "changelog"),
    ],
)
def test_bad_metadata_is_refused_by_name(acme: Tenant, changes: dict[str, Any], path: str) -> None:
    with pytest.raises(Refusal) as refused:
        publish(acme, **changes)
    assert refused.value.path[:2] == ("metadata", path)
    assert refused.value.code is ErrorCode.INVALID
    assert nothing_written(acme)


def test_an_invalid_document_is_refused_with_its_issues(acme: Tenant) -> None:
    broken = make.document(make.node("nobody.knows"))
    with pytest.raises(GraphInvalid) as refused:
        publish(acme, source=Source(document=broken))
    assert refused.value.issues
    assert refused.value.path[:2] == ("workflow", "document")
    assert nothing_written(acme)


@pytest.mark.parametrize("source", [Source(), Source(version_id=uuid.uuid4(), document={})])
def test_exactly_one_source_is_needed(acme: Tenant, source: Source) -> None:
    with pytest.raises(Refusal):
        publish(acme, source=source)
    assert nothing_written(acme)


def test_a_viewer_may_not_publish(acme: Tenant, viewer: Actor) -> None:
    with pytest.raises(Forbidden):
        publish(acme, viewer)
    assert nothing_written(acme)


def test_a_key_without_the_scope_may_not_publish(acme: Tenant) -> None:
    key = acme.owner.narrowed(frozenset({Permission.WORKFLOWS_WRITE}), api_key_id=uuid.uuid4())
    with pytest.raises(Forbidden):
        publish(acme, key)
    assert nothing_written(acme)


def test_the_same_request_again_gives_the_same_release(acme: Tenant) -> None:
    first = publish(acme, idempotency_key="k1")
    again = publish(acme, idempotency_key="k1")
    assert first.pk == again.pk
    with scope.tenant(acme.id):
        assert Release.objects.count() == 1
        assert Scan.objects.count() == 1


def test_the_same_key_for_another_request_is_refused(acme: Tenant) -> None:
    publish(acme, idempotency_key="k1")
    with pytest.raises(IdempotencyMismatch):
        publish(acme, idempotency_key="k1", version="1.0.1")
    with scope.tenant(acme.id):
        assert Release.objects.count() == 1


@pytest.mark.parametrize("limit", ["MAX_LISTINGS", "MAX_RELEASES", "MAX_WAITING"])
def test_shelves_and_queues_are_finite(
    acme: Tenant, monkeypatch: pytest.MonkeyPatch, limit: str
) -> None:
    make.submitted(acme)
    monkeypatch.setattr(publishing, limit, 1)
    name = "Another" if limit == "MAX_LISTINGS" else make.SUBMISSION.name
    with pytest.raises(QuotaExceeded):
        publish(acme, name=name, version="1.0.1")
    with scope.tenant(acme.id):
        assert Release.objects.count() == 1


def test_a_rehearsal_tells_the_findings_and_writes_nothing(acme: Tenant) -> None:
    with scope.tenant(acme.id, actor=acme.owner), pytest.raises(ScanRefused) as refused:
        actions.rehearse(actor=acme.owner, source=Source(document=EVIL), submission=make.SUBMISSION)
    assert [finding.rule for finding in refused.value.report.blocking] == [
        "secret.token",
        "code.dynamic-execution",
    ]
    assert "ghp_a" not in refused.value.message
    assert nothing_written(acme)


def test_a_rehearsal_of_a_good_one_writes_nothing_either(acme: Tenant) -> None:
    with scope.tenant(acme.id, actor=acme.owner):
        _, report = actions.rehearse(
            actor=acme.owner,
            source=Source(document=make.document()),
            submission=make.SUBMISSION,
        )
    assert report.verdict == "PASSED"
    assert nothing_written(acme)


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


def test_an_old_verdict_changes_nothing(acme: Tenant) -> None:
    release = make.published(acme)
    with scope.tenant(acme.id, actor=acme.owner):
        assert release.scan_id is not None
        actions.finish_scan(actor=acme.owner, release_id=release.pk, scan_id=release.scan_id)
        assert Release.objects.get().status == "PUBLISHED"
