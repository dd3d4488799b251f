"""Installing through the API: plans, overrides, refusals, what a page costs."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

from apps.marketplace import actions
from apps.marketplace.planning import Choices
from apps.tenancy import scope
from apps.workflows.models import Workflow
from tests.factories import marketplace as make
from tests.factories.tenancy import Tenant
from tests.graphql.calls import caller
from tests.marketplace.asking import count, global_id, install


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
