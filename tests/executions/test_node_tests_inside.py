"""Nodes inside containers: tested alone with samples, pinned for all iterations and items."""

from __future__ import annotations

import json
import uuid
from typing import Any

import pytest

from apps.executions.models import Pin, Run
from apps.executions.runner.local import LocalRunner
from apps.executions.verify import verify_tenant
from apps.tenancy import scope
from tests.executions.rest_calls import engine
from tests.executions.test_node_tests import DRAFT, deployed, ended, pinned, runner
from tests.factories import tenancy as make
from tests.factories.graphs import a, raw, to
from tests.graphql.calls import Caller, browser, caller

__all__ = ["runner"]
pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("test_nodes")]

TEST = """mutation($id: ID!, $node: String!, $sample: NodeSample, $confirm: [String!]) {
  testNode(workflowId: $id, nodeId: $node, input: {}, sample: $sample, confirmEffects: $confirm) {
    nodeRun { nodeId path status } execution { id }
    errors { code path ... on RunRefusedError { reason } } } }"""
ESCALATES = {"onError": "escalate"}
"""It may wait for a person, so each item is a run of its own."""


def mapped(**work: Any) -> dict[str, Any]:
    """list → rows (work → shown)."""
    nodes = [
        a("list", configuration={"say": [1, 2, 3]}),
        {"id": "rows", "type": "control.map", "configuration": {}},
        {**a("work", "keyed", parentId="rows"), **work},
        a("shown", parentId="rows", configuration={"say": "{{ nodes.work.value }}/{{ item }}"}),
    ]
    links = [
        *(to("list", "rows.items"), to("rows.item", "work"), to("work", "shown")),
        to("shown", "rows.result"),
    ]
    return raw(nodes, links)


def looped() -> dict[str, Any]:
    """again (work → shown), three times."""
    until = {"until": "{{ index >= 2 }}"}
    nodes = [
        {"id": "again", "type": "control.loop", "configuration": until},
        a("work", "keyed", parentId="again"),
        a("shown", parentId="again", configuration={"say": "{{ nodes.work.value }}/{{ index }}"}),
    ]
    return raw(nodes, [to("again.item", "work"), to("work", "shown"), to("shown", "again.next")])


def tried(
    program: Caller, workflow: uuid.UUID, node: str, item: Any = None, index: int = 0, **more: Any
) -> dict[str, Any]:
    sample = {"item": item, "index": index}
    told = program.data(TEST, id=str(workflow), node=node, sample=sample, **more)
    found: dict[str, Any] = told["testNode"]
    return found


@pytest.mark.parametrize("work", [{}, ESCALATES], ids=["in memory", "runs"])
def test_a_pin_is_given_for_every_item(
    acme: make.Tenant, runner: LocalRunner, work: dict[str, Any]
) -> None:
    workflow, program = deployed(acme, mapped(**work)), caller(acme)
    assert pinned(program, workflow, "work", {"value": "pinned"})["errors"] == []
    with engine(runner=runner):
        run = ended(acme, program, program.data(DRAFT, id=str(workflow))["testWorkflow"])
    results = ["pinned/1", "pinned/2", "pinned/3"]
    assert run["result"]["rows"]["results"] == results
    with scope.tenant(acme.id):
        items = list(Run.objects.filter(parent_kind="ITEM"))
    assert len(items) == (3 if work else 0)
    assert verify_tenant(acme.id) == []


def test_a_pin_is_given_in_every_iteration(acme: make.Tenant, runner: LocalRunner) -> None:
    workflow, program = deployed(acme, looped()), caller(acme)
    pinned(program, workflow, "work", {"value": "pinned"})
    with engine(runner=runner):
        run = ended(acme, program, program.data(DRAFT, id=str(workflow))["testWorkflow"])
    assert run["result"]["again"]["value"] == "pinned/2"
    given = [step["nodeId"] for step in run["nodeRuns"]["nodes"] if step["isPinned"]]
    assert given == ["work"] * 3


def test_a_pinned_container_does_not_open(acme: make.Tenant, runner: LocalRunner) -> None:
    for document, name, output in (
        (looped(), "again", {"value": 7, "iterations": 1}),
        (mapped(), "rows", {"results": [7]}),
    ):
        workflow, program = deployed(acme, document), caller(acme)
        assert pinned(program, workflow, name, {"item": 1})["errors"][0]["reason"] == (
            "OUTPUT_INVALID"
        ), "what leaves into the body is no output"
        pinned(program, workflow, name, output)
        with engine(runner=runner):
            run = ended(acme, program, program.data(DRAFT, id=str(workflow))["testWorkflow"])
        assert run["result"] == {name: output}


@pytest.mark.parametrize(("document", "path"), [(mapped(), "rows"), (looped(), "again")])
def test_a_node_inside_runs_alone(
    acme: make.Tenant, runner: LocalRunner, document: dict[str, Any], path: str
) -> None:
    workflow, program = deployed(acme, document), caller(acme)
    pinned(program, workflow, "work", {"value": "pinned"})
    with engine(runner=runner):
        told = tried(program, workflow, "shown", item="it", index=4)
        run = ended(acme, program, told)
    assert told["nodeRun"] == {"nodeId": "shown", "path": f"{path}[4]/shown", "status": "BLOCKED"}
    (step,) = [one for one in run["nodeRuns"]["nodes"] if one["nodeId"] == "shown"]
    last = "it" if path == "rows" else "4"
    assert (step["status"], step["outputPreview"]) == ("SUCCEEDED", {"value": f"pinned/{last}"})
    assert run["error"] is None
    assert verify_tenant(acme.id) == []


def test_what_is_wrong_is_said(acme: make.Tenant) -> None:
    workflow, program = deployed(acme, mapped()), caller(acme)

    def reasons(*given: Any, **more: Any) -> list[str]:
        return [one["reason"] for one in tried(program, workflow, *given, **more)["errors"]]

    assert reasons("rows") == ["NODE_IS_CONTAINER"]
    assert reasons("work") == ["TEST_HAS_EFFECT"]
    assert reasons("shown", index=-1) == ["INDEX_INVALID"]
    assert reasons("shown", item="x" * 40_000) == ["INPUT_NOT_STORABLE"]
    with scope.tenant(acme.id):
        assert not Run.objects.exists()
    with engine():
        run = tried(program, workflow, "work", confirm=["work"], item=1)
        assert ended(acme, program, run)["error"] is None


def test_the_page_asks_for_the_sample(acme: make.Tenant) -> None:
    workflow = deployed(acme, mapped())
    page = browser(acme.owner)
    page.handler.enforce_csrf_checks = False
    path = f"/t/acme/workflows/{workflow}/steps/shown/test/"
    assert b'name="index"' in page.get(path).content
    assert b'name="index"' not in page.get(path.replace("shown", "list")).content
    sent = page.post(
        path,
        {"input": "{}", "item": '"x"', "index": "3", "idempotency_key": str(uuid.uuid4())},
    )
    assert sent.status_code == 302, sent.content
    assert page.post(path, {"pin": 1, "output": json.dumps({"value": 5})}).status_code == 302
    with scope.tenant(acme.id):
        assert Pin.objects.get().node_id == "shown"
        assert Run.objects.get(pk=key_of_page(sent.headers["Location"])).state == "QUEUED"
    assert b"steps/shown/test/" in page.get(f"/t/acme/workflows/{workflow}/").content


def key_of_page(address: str) -> str:
    return address.rstrip("/").rpartition("/")[2]
