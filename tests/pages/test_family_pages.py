"""From a run to the run its step waits for, and back: pages and API."""

from __future__ import annotations

import pytest
from django.db import connection
from django.test import Client
from django.urls import reverse

from apps.executions.actions import start_run
from apps.kit.graphql.nodes import global_id
from apps.tenancy import scope
from tests.executions.conftest import test_nodes  # noqa: F401
from tests.executions.families import Family
from tests.factories.tenancy import Tenant
from tests.graphql.calls import caller
from tests.pages.conftest import Furnished, happened

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


def test_a_step_that_waits_for_its_run_says_so_and_leads_there(
    owner: Client, acme: Tenant, furnished: Furnished
) -> None:
    asked = {"startedAt": 1_790_000_000_000, "kind": "CHILD"}
    happened(acme, furnished.run, ("step.waiting", "say", 1, asked))
    address = reverse("executions:run", args=[furnished.slug, furnished.run])
    alone = owner.get(address).content.decode()
    assert "Waits for the run that it started" in alone
    assert "Open its run" not in alone, "it has not begun yet"

    with scope.tenant(acme.id, actor=acme.owner):
        child = start_run(actor=acme.owner, workflow_id=furnished.workflow, parameters={"times": 1})
        with connection.cursor() as cursor:
            cursor.execute(
                "UPDATE run SET parent_id = %s, parent_path = 'say', parent_attempt = 1,"
                " parent_kind = 'STEP' WHERE id = %s",
                [furnished.run, child.pk],
            )
    below = reverse("executions:run", args=[furnished.slug, child.pk])
    assert f'href="{below}">Open its run</a>' in owner.get(address).content.decode()
