"""A map's items: on the run's page, on a page of their own, and in GraphQL."""

from __future__ import annotations

import uuid

import pytest
from django.test import Client
from django.urls import reverse

from apps.executions.engine.ports import (
    StepCall,
    StepDone,
    StepFailed,
    StepOpens,
    StepOutcome,
    StepWaits,
)
from apps.executions.mapped import given_to
from apps.kit.graphql.nodes import global_id
from apps.workflows.graph.mapping import MapOpening, Policy
from apps.workflows.graph.waits import Wait, WaitKind
from tests.executions.conftest import test_nodes  # noqa: F401
from tests.executions.families import Family
from tests.factories.graphs import a, to
from tests.factories.tenancy import Tenant
from tests.graphql.calls import caller

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("test_nodes")]

TOTAL = 30
BAD = 7
ASK = """query($id: ID!, $state: [MapItemState!], $after: String) { execution(id: $id) {
  nodeRuns(first: 5) { nodes { nodeId mapProgress { total done failed }
    items(first: 20, after: $after, state: $state) { totalCount { value }
      nodes { index state input output error { code message } }
      pageInfo { endCursor hasNextPage } } } } } }"""


def script(call: StepCall) -> StepOutcome | None:
    if call.node.type == "control.map":
        words = [f"word {number}" for number in range(TOTAL)]
        opening = MapOpening(total=TOTAL, items=words, policy=Policy.COLLECT, tolerated=5)
        return StepOpens(opening=opening)
    if call.path == f"rows[{BAD}]/one":
        return StepFailed(code="NO_GOOD", message="This <b>word</b> is not for us.")
    return StepDone(outputs={"value": f"made of {call.inputs.get('value')}"})


@pytest.fixture
def ended(acme: Tenant) -> uuid.UUID:
    family = Family(acme, script)
    nodes = (
        {"id": "rows", "type": "control.map", "configuration": {"items": ["x"]}},
        a("one", parentId="rows"),
    )
    run_id = family.start(
        family.draw(*nodes, links=[to("rows.item", "one"), to("one", "rows.result")])
    )
    with family.working():
        assert family.ended(run_id).state == "SUCCEEDED"
    return run_id


def test_the_run_shows_how_far_a_map_is_and_leads_to_its_failed_items(
    owner: Client, stranger: Client, acme: Tenant, ended: uuid.UUID
) -> None:
    slug = acme.organization.slug
    address = reverse("executions:items", args=[slug, ended])
    page = owner.get(reverse("executions:run", args=[slug, ended])).content.decode()
    assert f"{TOTAL - 1} of {TOTAL} items done" in page
    assert f"{address}?path=rows&amp;state=failed" in page

    failed = owner.get(address, {"path": "rows", "state": "failed"}).content.decode()
    assert "NO_GOOD" in failed
    assert "This &lt;b&gt;word&lt;/b&gt; is not for us." in failed
    assert f"word {BAD}" in failed
    assert "word 8" not in failed

    everything = owner.get(address, {"path": "rows"})
    assert "made of word 0" in everything.content.decode()
    assert 'rel="next"' in everything.content.decode(), "a page has twenty"

    assert owner.get(address, {"path": "one"}).status_code == 404
    assert "No items here" in owner.get(address).content.decode(), "no map was named"
    assert stranger.get(address, {"path": "rows"}).status_code == 404


def test_an_item_offers_a_fork_from_each_of_its_steps(
    owner: Client, acme: Tenant, ended: uuid.UUID
) -> None:
    slug = acme.organization.slug
    page = owner.get(reverse("executions:items", args=[slug, ended]), {"path": "rows"})
    address = reverse("executions:again", args=[slug, ended])
    assert f"{address}?from=rows%5B3%5D/one" in page.content.decode()
    assert owner.get(address, {"from": "rows[3]/one"}).status_code == 200
    assert owner.get(address, {"from": "rows[x]/one"}).status_code == 200


def test_a_step_of_an_item_that_was_a_run_is_forked_by_the_run_above(
    owner: Client, acme: Tenant
) -> None:
    family = Family(acme, waits)
    nodes = (
        {"id": "rows", "type": "control.map", "configuration": {"items": ["x"]}},
        a("one", "waiting", parentId="rows"),
    )
    links = [to("rows.item", "one"), to("one", "rows.result")]
    run_id = family.start(family.draw(*nodes, links=links))
    with family.working():
        assert family.ended(run_id).state == "SUCCEEDED"
    item = family.children(run_id)[0]
    slug, index = acme.organization.slug, int((item.parent_path or "")[5:-1])
    page = owner.get(reverse("executions:run", args=[slug, item.pk])).content.decode()
    address = reverse("executions:again", args=[slug, run_id])
    assert f"{address}?from=rows%5B{index}%5D/one" in page
    shown = owner.get(address, {"from": f"rows[{index}]/one"}).content.decode()
    assert f"&quot;word {index}&quot;" in shown, "what arrived there"


def test_items_are_pages_below_their_step(acme: Tenant, ended: uuid.UUID) -> None:
    api = caller(acme)
    run = global_id("Execution", ended)

    def rows(**given: object) -> dict[str, object]:
        steps = api.data(ASK, id=run, **given)["execution"]["nodeRuns"]["nodes"]
        by_node = {step["nodeId"]: step for step in steps}
        found: dict[str, object] = by_node["rows"]
        return found

    first = rows()
    assert first["mapProgress"] == {"total": TOTAL, "done": TOTAL - 1, "failed": 1}
    items = first["items"]
    assert isinstance(items, dict)
    assert items["totalCount"]["value"] == TOTAL
    assert [one["index"] for one in items["nodes"]] == list(range(20))
    assert items["nodes"][0]["input"] == "word 0"
    assert items["nodes"][0]["output"] == "made of word 0"
    rest = rows(after=items["pageInfo"]["endCursor"])["items"]
    assert isinstance(rest, dict)
    assert [one["index"] for one in rest["nodes"]] == list(range(20, TOTAL))
    failed = rows(state=["FAILED"])["items"]
    assert isinstance(failed, dict)
    (one,) = failed["nodes"]
    assert (one["index"], one["state"], one["output"]) == (BAD, "FAILED", None)
    assert one["error"]["code"] == "NO_GOOD"


def test_an_item_of_a_stored_list_is_its_line() -> None:
    stored = MapOpening(total=2, items={"$artifact": "d1", "bytes": 9})
    assert given_to(stored, 1) == {"$artifact": "d1", "bytes": 9, "line": 2}
    assert given_to(MapOpening(total=2, items=["a"]), 1) is None


def waits(call: StepCall) -> StepOutcome | None:
    """Each item waits a moment, so it is a run of its own."""
    if call.node.id == "one":
        return StepWaits(wait=Wait(kind=WaitKind.TIMER, seconds=0.02, due={"value": "late"}))
    return script(call)


ASK_RUNS = """query($id: ID!) { execution(id: $id) { parentKind
  nodeRuns(first: 5) { nodes { nodeId items(first: 2) { nodes { index execution {
    id status parentKind parentPath parent { id } nodeRuns(first: 5) { nodes { nodeId } } } } } } }
  } }"""


def test_an_item_that_is_a_run_leads_to_it_and_back(owner: Client, acme: Tenant) -> None:
    family = Family(acme, waits)
    nodes = (
        {"id": "rows", "type": "control.map", "configuration": {"items": ["x"]}},
        a("one", "waiting", parentId="rows"),
    )
    drawn = family.draw(*nodes, links=[to("rows.item", "one"), to("one", "rows.result")])
    run_id = family.start(drawn)
    with family.working():
        run = family.ended(run_id)
        assert run.state == "SUCCEEDED", run.error
    slug = acme.organization.slug
    item = min(family.children(run_id), key=lambda one: int((one.parent_path or "")[5:-1]))
    there = reverse("executions:run", args=[slug, item.pk])
    assert (
        there
        in owner.get(
            reverse("executions:items", args=[slug, run_id]), {"path": "rows"}
        ).content.decode()
    )
    page = owner.get(there).content.decode()
    assert "rows[0]" in page
    assert reverse("executions:run", args=[slug, run_id]) in page
    everything = owner.get(reverse("executions:list", args=[slug])).content.decode()
    assert str(run_id) in everything
    assert str(item.pk) not in everything, "a part of a run is no run in a list"

    answer = caller(acme).data(ASK_RUNS, id=global_id("Execution", run_id))["execution"]
    assert answer["parentKind"] is None
    (rows,) = (one for one in answer["nodeRuns"]["nodes"] if one["nodeId"] == "rows")
    first = rows["items"]["nodes"][0]["execution"]
    assert first == {
        "id": global_id("Execution", item.pk),
        "status": "SUCCEEDED",
        "parentKind": "ITEM",
        "parentPath": "rows[0]",
        "parent": {"id": global_id("Execution", run_id)},
        "nodeRuns": {"nodes": [{"nodeId": "one"}]},
    }
