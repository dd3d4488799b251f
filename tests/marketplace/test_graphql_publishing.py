"""Publishing through the API: scans, findings, typed errors, yanking."""

from __future__ import annotations

from typing import Any

import pytest

from apps.marketplace.models import Listing, Release
from apps.security_scan import actions as scans
from apps.tenancy import scope
from apps.tenancy.actors import Actor
from tests.factories import marketplace as make
from tests.factories.tenancy import Tenant, staff
from tests.graphql.calls import caller, codes
from tests.marketplace.asking import EVIL, METADATA, PUBLISH, TOKEN, global_id, publish


def test_publishing_answers_scanning(acme: Tenant) -> None:
    answer = publish(caller(acme))
    assert answer["errors"] == []
    assert answer["version"]["status"] == "SCANNING"
    assert answer["scan"]["verdict"] == "PENDING"
    assert (answer["listing"]["status"], answer["listing"]["version"]) == ("IN_REVIEW", "")
    assert answer["listing"]["author"]["handle"] == "acme"


def test_findings_are_read_after_the_scan(acme: Tenant) -> None:
    by = caller(acme)
    answer = publish(by, EVIL)
    with scope.tenant(acme.id, actor=Actor.system(acme.id, "test")):
        (scan_id,) = Release.objects.values_list("scan_id", flat=True)
        assert scan_id is not None
        scans.run_scan(scan_id=scan_id)
    node = by.data(
        "query ($id: ID!) { node(id: $id) { ... on ListingVersion { status securityScan {"
        " verdict score findings(minSeverity: HIGH) { rule severity nodeId } } } } }",
        id=answer["version"]["id"],
    )["node"]
    assert node["status"] == "REJECTED"
    assert node["securityScan"]["findings"] == [
        {"rule": "secret.token", "severity": "CRITICAL", "nodeId": "send"},
        {"rule": "code.dynamic-execution", "severity": "HIGH", "nodeId": "clean"},
    ]


def test_validate_only_tells_the_findings_without_the_secret_and_writes_nothing(
    acme: Tenant,
) -> None:
    answer = publish(caller(acme), EVIL, validateOnly=True)
    (error,) = answer["errors"]
    assert (error["__typename"], error["code"]) == ("SecurityScanError", "SECURITY_SCAN_FAILED")
    assert [finding["rule"] for finding in error["scan"]["findings"]] == [
        "secret.token",
        "code.dynamic-execution",
    ]
    assert TOKEN not in str(answer)
    assert TOKEN[4:12] not in str(answer)
    with scope.tenant(acme.id):
        assert not Listing.objects.exists()


def test_validate_only_of_a_good_one_gives_its_scan(acme: Tenant) -> None:
    answer = publish(caller(acme), validateOnly=True)
    assert (answer["errors"], answer["scan"]["verdict"], answer["version"]) == ([], "PASSED", None)


def test_a_taken_version_is_a_typed_error(acme: Tenant) -> None:
    by = caller(acme)
    publish(by)
    (error,) = publish(by)["errors"]
    assert error["__typename"] == "VersionConflictError"
    assert (error["latestVersion"], error["suggestedVersion"]) == ("1.0.0", "1.0.1")
    assert error["path"] == ["metadata", "version"]


def test_an_invalid_document_is_a_typed_error(acme: Tenant) -> None:
    (error,) = publish(caller(acme), make.document(make.node("nobody.knows")))["errors"]
    assert error["__typename"] == "GraphValidationError"
    assert error["issues"][0]["nodeId"] == "step"


@pytest.mark.parametrize(
    "metadata",
    [
        {"screenshotUploadIds": ["x"]},
        {"dependencies": [{"slug": "x", "versionRange": "*"}]},
        {"signature": {"scheme": "ED25519", "signature": "x"}},
    ],
)
def test_what_is_not_built_is_refused_not_dropped(acme: Tenant, metadata: dict[str, Any]) -> None:
    (error,) = publish(caller(acme), **metadata)["errors"]
    assert error["path"] == ["metadata", next(iter(metadata))]


def test_publishing_needs_the_scope(acme: Tenant) -> None:
    answer = caller(acme, "workflows:read").run(
        PUBLISH, document=make.document(), metadata=METADATA
    )
    assert codes(answer) == ["FORBIDDEN"]
    with scope.tenant(acme.id):
        assert not Listing.objects.exists()


def test_staff_see_scan_and_subject_of_an_approval(acme: Tenant) -> None:
    release = make.scanned(acme)
    by = caller(acme)
    shown = by.data(
        "query ($id: ID!) { node(id: $id) { ... on ListingVersion { approval { kind status"
        " viewerCanDecide subject { ... on ListingVersion { version } } scan { verdict }"
        " diff { summary } } } } }",
        id=global_id("ListingVersion", release.pk),
    )["node"]["approval"]
    assert shown == {
        "kind": "LISTING_PUBLISH", "status": "PENDING", "viewerCanDecide": False,
        "subject": {"version": "1.0.0"}, "scan": {"verdict": "PASSED"}, "diff": None,
    }  # fmt: skip
    assert staff().is_staff


def test_yanking_through_the_api(acme: Tenant, globex: Tenant) -> None:
    release = make.published(acme)
    yank = """mutation ($id: ID!) { yankVersion(versionId: $id, reason: "Bug.", severity: HIGH) {
      version { status yanked { reason severity } } errors { code } } }"""
    pk = global_id("ListingVersion", release.pk)
    refused = caller(globex).data(yank, id=pk)["yankVersion"]
    assert [error["code"] for error in refused["errors"]] == ["NOT_FOUND"]
    done = caller(acme).data(yank, id=pk)["yankVersion"]
    assert done["version"] == {"status": "YANKED", "yanked": {"reason": "Bug.", "severity": "HIGH"}}
