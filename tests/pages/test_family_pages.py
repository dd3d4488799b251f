"""From a run to the run its step waits for, and back: pages and API."""

from __future__ import annotations

import pytest
from django.test import Client
from django.urls import reverse

from apps.kit.graphql.nodes import global_id
from tests.executions.conftest import test_nodes  # noqa: F401
from tests.executions.families import Family
from tests.factories.tenancy import Tenant
from tests.graphql.calls import caller

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("test_nodes"),
]
ASK = """query($id: ID!, $after: String) { execution(id: $id) {
  parent { id } parentKind parentPath
  children(first: 1, after: $after) {
    nodes { id parentKind parentPath parent { id } } pageInfo { endCursor hasNextPage }
    totalCount { value } } } }"""


def test_a_step_and_its_run_lead_to_each_other(owner: Client, acme: Tenant) -> None:
    family = Family(acme)
    child = family.child()
    run_id = family.start(family.parent(child))
    with family.working():
        assert family.ended(run_id).state == "SUCCEEDED"
    (below,) = family.children(run_id)

    def page(run: object) -> str:
        address = reverse("executions:run", args=[acme.organization.slug, run])
        return owner.get(address).content.decode()

    assert reverse("executions:run", args=[acme.organization.slug, below.pk]) in page(run_id)
    assert reverse("executions:run", args=[acme.organization.slug, run_id]) in page(below.pk)
    assert "Started by step “sub”" in page(below.pk)

    api = caller(acme)
    above = api.data(ASK, id=global_id("Execution", run_id))["execution"]
    assert (above["parent"], above["parentKind"], above["parentPath"]) == (None, None, None)
    assert above["children"]["totalCount"]["value"] == 1
    (node,) = above["children"]["nodes"]
    assert node == {
        "id": global_id("Execution", below.pk),
        "parentKind": "STEP",
        "parentPath": "sub",
        "parent": {"id": global_id("Execution", run_id)},
    }
    behind = above["children"]["pageInfo"]["endCursor"]
    rest = api.data(ASK, id=global_id("Execution", run_id), after=behind)["execution"]
    assert rest["children"]["nodes"] == []
