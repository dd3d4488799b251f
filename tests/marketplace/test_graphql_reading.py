"""Listings and search through the API: every field, every address, what a page costs."""

from __future__ import annotations

import uuid

import pytest

from tests.factories import marketplace as make
from tests.factories.tenancy import Tenant
from tests.graphql.calls import caller, codes
from tests.marketplace.asking import EVERY_FIELD, SEARCH, count, global_id


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
