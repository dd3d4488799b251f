"""Publishing: what is refused, by name, with nothing written."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

from apps.kit.errors import (
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
from apps.marketplace.models import Listing, Release, SearchRow
from apps.marketplace.sources import Source
from apps.marketplace.submission import Pricing
from apps.marketplace.terms import PricingModel, Visibility
from apps.tenancy import scope
from apps.tenancy.actors import Actor, Permission
from apps.versions.actions import commit_version, decide_approval
from apps.workflows.actions import create_workflow
from apps.workflows.invalid import GraphInvalid
from tests.factories import marketplace as make
from tests.factories.tenancy import Tenant
from tests.marketplace.publishes import EVIL, nothing_written, publish


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


def test_a_workflow_that_calls_another_is_not_published(acme: Tenant) -> None:
    handler = {"errorHandler": {"workflow": str(uuid.uuid4())}}
    with pytest.raises(GraphInvalid) as refused:
        publish(acme, source=Source(document=make.document(**handler)))
    assert [issue.code for issue in refused.value.issues] == ["SUBWORKFLOW_NOT_PORTABLE"]
    assert nothing_written(acme)


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
