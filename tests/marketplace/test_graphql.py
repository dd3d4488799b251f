"""The marketplace through /graphql: the specification's operations, typed errors, query counts."""

from __future__ import annotations

import base64
import uuid
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from apps.marketplace import actions
from apps.marketplace.models import Listing, Release
from apps.marketplace.planning import Choices
from apps.security_scan import actions as scans
from apps.tenancy import scope
from apps.tenancy.actors import Actor
from apps.workflows.models import Workflow
from tests.factories import marketplace as make
from tests.factories.tenancy import Tenant, staff
from tests.graphql.calls import Caller, caller, codes

TOKEN = "ghp_" + "aB3dE5fG7hI9jK1lM3nO5pQ7rS9tU1vW3xY5"
EVIL = make.document(
    make.node("test.code", id="clean", code="rows = eval(value)"),
    make.node("test.text", id="send", text=f"token {TOKEN}"),
)
METADATA = {
    "name": "Cars ETL with quarantine",
    "description": "Validates cars.",
    "category": "DATA_PIPELINE",
    "version": "1.0.0",
    "changelog": "First.",
    "license": "Apache-2.0",
    "documentation": "# Cars",
    "platform": ">=0.1",
    "tags": ["cars"],
}
PUBLISH = """
mutation ($document: WorkflowDocument!, $metadata: PublishMetadata!, $key: ID) {
  publishWorkflow(workflow: {document: $document}, metadata: $metadata, idempotencyKey: $key) {
    listing { id slug status version author { handle } }
    version { id version status digest }
    scan { verdict score counts { critical high } findings { rule severity nodeId } }
    warnings { code }
    errors { __typename message code path
      ... on VersionConflictError { latestVersion suggestedVersion }
      ... on GraphValidationError { issues { code nodeId } }
      ... on SecurityScanError { scan { verdict
        findings(minSeverity: HIGH) { rule severity nodeId path cwe remediation detail } } }
    }
  }
}"""
INSTALL = """
mutation ($id: ID!, $configuration: ConfigurationOverrides, $planOnly: Boolean) {
  installWorkflow(workflowId: $id, targetEnvironment: DEVELOPMENT, configuration: $configuration,
                  planOnly: $planOnly) {
    installation { id version environment status listing { name } installedBy { displayName }
      availableUpdate { version } locallyModified }
    workflow { id name version installedFrom { version } }
    plan { version missingConnections { slot } permissions { key risk } missingVariables
      compatibility { compatible } requirements { parameters } price { formatted } }
    errors { __typename code path message
      ... on CompatibilityError { compatibility { issues { kind blocking } } } }
  }
}"""
EVERY_FIELD = """
  id name description category version downloads rating screenshots documentation slug url tagline
  tags iconUrl locale visibility status createdAt updatedAt publishedAt
  author { id handle name isOrganization verification { level } }
  reviews { id } reviewConnection { nodes { id } totalCount { value isExact } }
  ratingSummary { count mean bayesian wilsonLowerBound last90Days histogram { stars count } }
  pricing { model price { formatted } refundWindowDays plans { id } usageTiers { upTo } }
  requirements { platform parameters nodeTypes { type versionRange available }
    dependencies { slug } connections { slot } permissions { key reason risk }
    resources { cpu memory } }
  securityScan { id verdict score scannedAt scannerVersions isStale
    counts { low medium high critical }
    findings { id rule title severity detail suppressed } provenance { digest } }
  compatibility { compatible platformRange platformVersion issues { kind } testedOn }
  license { spdxId name isOsiApproved requiresAcceptance } media { url } deprecation { message }
  graphPreview { nodeCount edgeCount nodeTypes svgUrl }
  installStats { lifetime last30Days activeTenants30Days successRate30Days upgradesPending }
"""
SEARCH = """
query ($text: String, $first: Int, $after: String, $filter: WorkflowSearchFilter,
       $sort: SortOption, $tags: [String]) {
  searchWorkflows(query: $text, first: $first, after: $after, filter: $filter, sort: $sort,
                  tags: $tags) {
    edges { cursor score highlights { field html } node { name } }
    pageInfo { hasNextPage endCursor } totalCount { value isExact } didYouMean
    facets { name isSampled buckets { value label count selected } }
  }
}"""


def global_id(kind: str, pk: object) -> str:
    return base64.b64encode(f"{kind}:{pk}".encode()).decode()


def publish(by: Caller, document: Any = None, **metadata: Any) -> dict[str, Any]:
    answer = by.data(PUBLISH, document=document or make.document(), metadata=METADATA | metadata)
    found: dict[str, Any] = answer["publishWorkflow"]
    return found


def install(by: Caller, listing_id: str, **variables: Any) -> dict[str, Any]:
    found: dict[str, Any] = by.data(INSTALL, id=listing_id, **variables)["installWorkflow"]
    return found


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


def test_every_field_of_a_listing_answers(acme: Tenant, globex: Tenant) -> None:
    listing = make.listing(acme)
    found = caller(globex).data(
        "query ($id: ID!) { getWorkflow(id: $id) {" + EVERY_FIELD + " } }",
        id=global_id("MarketplaceWorkflow", listing.pk),
    )["getWorkflow"]
    assert (found["name"], found["version"]) == ("Cars ETL with quarantine", "1.0.0")
    assert (found["rating"], found["reviews"], found["downloads"]) == (0.0, [], 0)
    assert found["securityScan"]["verdict"] == "PASSED"
    assert found["graphPreview"]["nodeCount"] == 1
    assert found["compatibility"]["compatible"] is True
    assert found["url"].endswith("/marketplace/acme/cars-etl-with-quarantine/")


def test_the_rest_of_a_listing_answers(acme: Tenant, globex: Tenant) -> None:
    listing = make.listing(acme)
    make.published(acme, make.document(make.node("test.text", text="Bye")), version="1.1.0")
    found = caller(globex).data(
        """query ($id: ID!) { getWorkflow(id: $id) {
          latestVersion { version changelogHtml sizeBytes publishedBy { handle } yanked { reason }
            isBreaking approval { id } compatibility { compatible } signature { keyId } }
          listingVersion(version: "1.0.0") { version status downloads }
          versions { nodes { version } totalCount { value } }
          versionDiff(from: "1.0.0", to: "1.1.0") { from to summary breaking
            changes { modified { nodeId } } }
          similar { name } dependents { nodes { id } }
          viewer { canInstall blockers { code } installations { id } canReview entitlement { id } }
          graphPreview { definition }
        } }""",
        id=str(listing.pk),
    )["getWorkflow"]
    assert found["latestVersion"]["version"] == "1.1.0"
    assert found["latestVersion"]["approval"] is None
    assert [node["version"] for node in found["versions"]["nodes"]] == ["1.1.0", "1.0.0"]
    assert found["versionDiff"]["changes"]["modified"] == [{"nodeId": "step"}]
    assert found["viewer"] == {
        "canInstall": True, "blockers": [], "installations": [], "canReview": False,
        "entitlement": None,
    }  # fmt: skip
    assert found["graphPreview"]["definition"]["nodes"][0]["id"] == "step"


def test_a_listing_has_three_addresses(acme: Tenant, globex: Tenant) -> None:
    listing = make.listing(acme)
    found = caller(globex).data(
        """query ($id: ID!, $node: ID!) {
          getWorkflow(id: $id) { name } node(id: $node) { ... on MarketplaceWorkflow { name } }
          workflowBySlug(publisher: "acme", slug: "cars-etl-with-quarantine") { name }
          marketplace { getWorkflow(id: $id) { name } }
          publisher(handle: "acme") { name listings { nodes { name } } stats { listingCount } }
        }""",
        id=str(listing.pk),
        node=global_id("MarketplaceWorkflow", listing.pk),
    )
    name = {"name": "Cars ETL with quarantine"}
    assert found["getWorkflow"] == found["node"] == found["workflowBySlug"] == name
    assert found["marketplace"]["getWorkflow"] == name
    assert found["publisher"]["listings"]["nodes"] == [name]


@pytest.mark.parametrize(
    "field",
    ["getWorkflow(id: $id) { name }", "marketplace { getWorkflow(id: $id) { name } }"],
)
def test_an_unpublished_listing_answers_as_a_random_one(
    acme: Tenant, globex: Tenant, field: str
) -> None:
    hidden = make.scanned(acme).listing_id
    by = caller(globex)
    answers = [
        {**by.run("query ($id: ID!) {" + field + "}", id=str(pk)), "extensions": None}
        for pk in (hidden, uuid.uuid4())
    ]
    assert answers[0] == answers[1]
    slug = 'workflowBySlug(publisher: "acme", slug: "cars-etl-with-quarantine") { name }'
    assert by.data("{" + slug + ' publisher(handle: "acme") { name } }') == {
        "workflowBySlug": None,
        "publisher": None,
    }


def test_search_finds_highlights_counts_and_spells(acme: Tenant, globex: Tenant) -> None:
    make.listing(acme)
    by = caller(globex)
    found = by.data(SEARCH, text="quarantine")["searchWorkflows"]
    (edge,) = found["edges"]
    assert edge["highlights"][0] == {
        "field": "name",
        "html": "Cars ETL with <mark>quarantine</mark>",
    }
    assert edge["score"] > 0
    assert found["totalCount"] == {"value": 1, "isExact": True}
    counted = {facet["name"]: facet["buckets"] for facet in found["facets"]}
    assert counted["CATEGORY"] == [
        {"value": "DATA_PIPELINE", "label": "Data pipelines", "count": 1, "selected": False}
    ]
    missed = by.data(SEARCH, text="quarentine")["searchWorkflows"]
    assert (missed["edges"], missed["didYouMean"]) == ([], "quarantine")


def test_search_pages_and_filters(acme: Tenant, globex: Tenant) -> None:
    for number in range(3):
        make.listing(acme, name=f"Cars {number}")
    by = caller(globex)
    seen: list[str] = []
    after = None
    for _ in range(3):
        page = by.data(SEARCH, text="cars", first=1, after=after)["searchWorkflows"]
        seen += [edge["node"]["name"] for edge in page["edges"]]
        after = page["pageInfo"]["endCursor"]
    assert sorted(seen) == ["Cars 0", "Cars 1", "Cars 2"]
    assert page["pageInfo"]["hasNextPage"] is False
    ours = by.data(SEARCH, filter={"registry": "MINE"})["searchWorkflows"]
    assert ours["edges"] == []
    tagged = by.data(SEARCH, tags=["cars", None], sort="NAME", filter={"publisher": "acme"})
    assert [e["node"]["name"] for e in tagged["searchWorkflows"]["edges"]] == sorted(seen)


def test_a_cursor_of_another_question_is_refused(acme: Tenant, globex: Tenant) -> None:
    for number in range(2):
        make.listing(acme, name=f"Cars {number}")
    by = caller(globex)
    page = by.data(SEARCH, text="cars", first=1)["searchWorkflows"]
    answer = by.run(SEARCH, text="etl", first=1, after=page["pageInfo"]["endCursor"])
    assert codes(answer) == ["INVALID"]


def test_the_shelf_and_suggestions(acme: Tenant, globex: Tenant) -> None:
    make.listing(acme)
    shelf = caller(globex).data(
        """{ marketplace {
          categories { category title listingCount { value isExact } }
          featured { name } trending(window: DAY) { name }
          recommendations { reason workflow { name } }
          suggest(prefix: "quar") { text kind workflow { name } } } }"""
    )["marketplace"]
    counts = {one["category"]: one["listingCount"]["value"] for one in shelf["categories"]}
    assert counts["DATA_PIPELINE"] == 1
    assert sum(counts.values()) == 1
    name = {"name": "Cars ETL with quarantine"}
    assert shelf["featured"] == shelf["trending"] == [name]
    assert shelf["suggest"][0] == {"text": name["name"], "kind": "WORKFLOW", "workflow": name}


def test_a_plan_then_an_install_with_an_override(acme: Tenant, globex: Tenant) -> None:
    target = {"name": "target", "schema": {"type": "string"}, "default": "mpg"}
    listing = make.listing(acme, make.document(parameters=[target]))
    by, pk = caller(globex), global_id("MarketplaceWorkflow", listing.pk)
    plan = install(by, pk, planOnly=True)
    assert plan["installation"] is None
    assert plan["plan"]["version"] == "1.0.0"
    assert plan["plan"]["requirements"]["parameters"]["properties"]["target"]["default"] == "mpg"
    with scope.tenant(globex.id):
        assert not Workflow.objects.exists()
    done = install(
        by, pk, configuration={"parameters": {"target": "price"}, "workflowName": "Our cars"}
    )
    assert done["errors"] == []
    assert done["installation"]["status"] == "ACTIVE"
    assert done["installation"]["locallyModified"] is False
    assert done["workflow"]["name"] == "Our cars"
    assert done["workflow"]["installedFrom"] == {"version": "1.0.0"}
    with scope.tenant(globex.id):
        (parameter,) = Workflow.objects.get().draft_document["configuration"]["parameters"]
        assert parameter["default"] == "price"


def test_an_installation_knows_of_its_update(acme: Tenant, globex: Tenant) -> None:
    listing = make.listing(acme)
    by = caller(globex)
    install(by, str(listing.pk))
    query = """query ($only: Boolean) { installations(outdatedOnly: $only) { nodes { version
      listing { name } namedEnvironment { name } history { kind } configuration
      availableUpdate { version isBreaking diff { summary } conflicts { path } } }
      totalCount { value } } }"""
    assert by.data(query, only=True)["installations"]["totalCount"]["value"] == 0
    make.published(acme, make.document(make.node("test.text", text="Bye")), version="1.1.0")
    (shown,) = by.data(query, only=True)["installations"]["nodes"]
    assert shown["availableUpdate"]["version"] == "1.1.0"
    assert "1 node changed" in shown["availableUpdate"]["diff"]["summary"]


@pytest.mark.parametrize(
    ("configuration", "code"),
    [
        ({"version": "9.9.9"}, "NOT_FOUND"),
        ({"parameters": {"nobody": 1}}, "INVALID"),
        ({"parameters": []}, "INVALID"),
        ({"connectionBindings": [{"slot": "X", "connectionId": str(uuid.uuid4())}]}, "INVALID"),
        ({"namedEnvironmentId": "nonsense"}, "NOT_FOUND"),
    ],
)
def test_a_refused_install_is_a_typed_error_and_writes_nothing(
    acme: Tenant, globex: Tenant, configuration: dict[str, Any], code: str
) -> None:
    listing = make.listing(acme)
    (error,) = install(caller(globex), str(listing.pk), configuration=configuration)["errors"]
    assert error["code"] == code
    with scope.tenant(globex.id):
        assert not Workflow.objects.exists()


def test_an_unfit_release_says_what_does_not_fit(acme: Tenant, globex: Tenant) -> None:
    listing = make.listing(acme, platform=">=99")
    (error,) = install(caller(globex), str(listing.pk))["errors"]
    assert error["__typename"] == "CompatibilityError"
    assert error["compatibility"]["issues"] == [{"kind": "PLATFORM", "blocking": True}]


def test_installing_an_unpublished_one_answers_as_a_random_one(
    acme: Tenant, globex: Tenant
) -> None:
    hidden = make.scanned(acme).listing_id
    by = caller(globex)
    assert install(by, str(hidden)) == install(by, str(uuid.uuid4()))


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


def count(by: Caller, query: str, **variables: Any) -> int:
    with CaptureQueriesContext(connection) as captured:
        by.data(query, **variables)
    return len(captured)


def test_a_page_of_results_costs_the_same_for_one_and_for_many(
    acme: Tenant, globex: Tenant
) -> None:
    by = caller(globex)
    query = (
        "query ($first: Int) { searchWorkflows(first: $first) { edges { node {" + EVERY_FIELD +
        " } } totalCount { value } } }"
    )  # fmt: skip
    make.listing(acme, name="Cars 0")
    count(by, query, first=20)
    one = count(by, query, first=20)
    for number in range(1, 5):
        make.listing(acme, name=f"Cars {number}")
    many = count(by, query, first=20)
    assert many == one
    assert many <= 18


def test_a_page_of_installations_costs_the_same_for_one_and_for_many(
    acme: Tenant, globex: Tenant
) -> None:
    by = caller(globex)
    query = """{ installations { nodes { version status locallyModified environment
      listing { name version author { name } downloads } workflow { name }
      availableUpdate { version } installedBy { displayName } } totalCount { value } } }"""

    def put(number: int) -> None:
        listing = make.listing(acme, name=f"Cars {number}")
        with scope.tenant(globex.id, actor=globex.owner):
            actions.install_workflow(
                actor=globex.owner, listing_id=listing.pk, environment_kind="DEVELOPMENT",
                choices=Choices(),
            )  # fmt: skip

    put(0)
    count(by, query)
    one = count(by, query)
    for number in range(1, 4):
        put(number)
    many = count(by, query)
    assert many == one
    assert many <= 22
