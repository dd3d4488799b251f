"""Testing one node of the draft, and the sample data that test runs take."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from apps.executions.models import Pin, Run
from apps.executions.runner.local import LocalRunner
from apps.executions.sandbox import shared
from apps.kit.graphql.nodes import global_id, key_of
from apps.tenancy import scope
from apps.tenancy.actors import Permission
from apps.versions.actions import commit_version, deploy_version
from apps.workflows.actions import create_workflow
from tests.executions.rest_calls import engine
from tests.executions.world import finished
from tests.factories import tenancy as make
from tests.factories.graphs import a, raw, to
from tests.graphql.calls import Caller, browser, caller

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("test_nodes")]

TEST = """mutation($id: ID!, $node: String!, $input: JSON!, $pins: Boolean, $confirm: [String!]) {
  testNode(workflowId: $id, nodeId: $node, input: $input, usePinnedData: $pins,
           confirmEffects: $confirm) {
    nodeRun { nodeId status } execution { id environment }
    errors { code path ... on RunRefusedError { reason } } } }"""
PIN = """mutation($id: ID!, $node: String!, $output: JSON) {
  pinNodeOutput(workflowId: $id, nodeId: $node, output: $output) {
    workflow { pinnedOutputs { nodeId output } }
    errors { code path ... on RunRefusedError { reason } } } }"""
DRAFT = """mutation($id: ID!) { testWorkflow(workflowId: $id) {
  execution { id } errors { code } } }"""
STEPS = """query($id: ID!) { execution(id: $id) { result error { code }
  nodeRuns { nodes { nodeId status isPinned outputPreview } } } }"""


@pytest.fixture
def runner() -> Iterator[LocalRunner]:
    made = LocalRunner(sandbox=shared())
    yield made
    made.close()


@pytest.fixture
def drawn(acme: make.Tenant) -> uuid.UUID:
    """A constant that a second one reads by expression; deployed."""
    one = a("one", "pure", configuration={"say": 7})
    two = a("two", "pure", configuration={"say": "{{ nodes.one.value }}"})
    document = raw([one, two], [to("one", "two")])
    return deployed(acme, document)


def deployed(tenant: make.Tenant, document: dict[str, Any]) -> uuid.UUID:
    with scope.tenant(tenant.id, actor=tenant.owner):
        workflow = create_workflow(actor=tenant.owner, document=document)
        version = commit_version(actor=tenant.owner, workflow_id=workflow.pk, message="x")
        place = tenant.environments["PRODUCTION"].pk
        deploy_version(actor=tenant.owner, version_id=version.pk, environment=place)
        found: uuid.UUID = workflow.pk
    return found


def ended(tenant: make.Tenant, program: Caller, told: dict[str, Any]) -> dict[str, Any]:
    """The run of an answer, when it has ended."""
    assert told["errors"] == [], told
    key = told["execution"]["id"]
    finished(tenant, key_of(key, "Execution"))
    run: dict[str, Any] = program.data(STEPS, id=key)["execution"]
    return run


def pinned(program: Caller, workflow: uuid.UUID, node: str, output: Any) -> dict[str, Any]:
    told: dict[str, Any] = program.data(PIN, id=str(workflow), node=node, output=output)
    found: dict[str, Any] = told["pinNodeOutput"]
    return found


def tried(program: Caller, workflow: uuid.UUID, node: str, **more: Any) -> dict[str, Any]:
    given = {"input": {}, **more}
    told: dict[str, Any] = program.data(TEST, id=str(workflow), node=node, **given)
    found: dict[str, Any] = told["testNode"]
    return found


def runs_of(tenant: make.Tenant) -> int:
    with scope.tenant(tenant.id):
        return int(Run.objects.count())


def test_one_node_runs_with_what_others_are_pinned_to(
    acme: make.Tenant, drawn: uuid.UUID, runner: LocalRunner
) -> None:
    program = caller(acme)
    shown = pinned(program, drawn, "one", {"value": 41})
    with engine(runner=runner):
        told = tried(program, drawn, "two")
        run = ended(acme, program, told)

    assert shown["workflow"]["pinnedOutputs"] == [{"nodeId": "one", "output": {"value": 41}}]
    # Until a worker takes the run, nobody has said that it is alone.
    assert told["nodeRun"] == {"nodeId": "two", "status": "BLOCKED"}
    assert told["execution"]["environment"] == "DEVELOPMENT"
    by_node = {step["nodeId"]: step for step in run["nodeRuns"]["nodes"]}
    assert by_node["two"]["outputPreview"] == {"value": 41}
    assert run["error"] is None


def test_the_draft_takes_its_pins_and_production_never(
    acme: make.Tenant, drawn: uuid.UUID, runner: LocalRunner
) -> None:
    program = caller(acme)
    pinned(program, drawn, "one", {"value": 41})
    start = "mutation($id: ID!) { executeWorkflow(workflowId: $id, environment: PRODUCTION) { execution { id } errors { code } } }"  # noqa: E501
    with engine(runner=runner):
        draft = ended(acme, program, program.data(DRAFT, id=str(drawn))["testWorkflow"])
        real = ended(acme, program, program.data(start, id=str(drawn))["executeWorkflow"])

    by_node = {step["nodeId"]: step for step in draft["nodeRuns"]["nodes"]}
    assert by_node["one"]["isPinned"]
    assert by_node["one"]["outputPreview"] == {"value": 41}
    assert (draft["result"], real["result"]) == ({"two": {"value": 41}}, {"two": {"value": 7}})
    assert not any(step["isPinned"] for step in real["nodeRuns"]["nodes"])


def test_a_pin_that_fits_no_more_fails_its_step(
    acme: make.Tenant, drawn: uuid.UUID, runner: LocalRunner
) -> None:
    program = caller(acme)
    pinned(program, drawn, "one", {"value": 41})
    with scope.tenant(acme.id):
        Pin.objects.update(outputs={"gone": 1})
    with engine(runner=runner):
        run = ended(acme, program, program.data(DRAFT, id=str(drawn))["testWorkflow"])

    assert run["error"]["code"] == "OUTPUT_INVALID"


def test_an_effect_needs_consent(acme: make.Tenant) -> None:
    workflow = deployed(acme, raw([a("n0", "pure"), a("n1", "keyed")], [to("n0", "n1")]))
    program = caller(acme)

    refused = tried(program, workflow, "n1")
    before = runs_of(acme)
    with engine():
        run = ended(acme, program, tried(program, workflow, "n1", confirm=["n1"]))

    assert refused["errors"] == [
        {"code": "EFFECTS_NEED_CONSENT", "path": ["confirmEffects"], "reason": "TEST_HAS_EFFECT"}
    ]
    assert before == 0
    by_node = {step["nodeId"]: step["status"] for step in run["nodeRuns"]["nodes"]}
    assert by_node["n1"] == "SUCCEEDED"
    assert by_node["n0"] != "SUCCEEDED"


@pytest.mark.parametrize(
    ("node", "given", "reason"),
    [
        ("nothing", {}, "NODE_UNKNOWN"),
        ("two", {"town": 1}, "INPUT_UNKNOWN"),
    ],
)
def test_what_is_wrong_is_said_and_nothing_runs(
    acme: make.Tenant, drawn: uuid.UUID, node: str, given: dict[str, Any], reason: str
) -> None:
    told = tried(caller(acme), drawn, node, input=given)

    assert [one["reason"] for one in told["errors"]] == [reason]
    assert runs_of(acme) == 0


@pytest.mark.parametrize(
    ("node", "output", "reason"),
    [
        ("nothing", {"value": 1}, "NODE_UNKNOWN"),
        ("one", {"gone": 1}, "OUTPUT_INVALID"),
        ("one", {"error": {}}, "OUTPUT_INVALID"),
        ("one", {"value": "x" * 40_000}, "OUTPUT_NOT_STORABLE"),
    ],
)
def test_a_pin_must_fit(
    acme: make.Tenant, drawn: uuid.UUID, node: str, output: Any, reason: str
) -> None:
    told = pinned(caller(acme), drawn, node, output)

    assert [one["reason"] for one in told["errors"]] == [reason]
    with scope.tenant(acme.id):
        assert not Pin.objects.exists()


def test_a_pin_is_replaced_and_taken_off(acme: make.Tenant, drawn: uuid.UUID) -> None:
    program = caller(acme)
    for value in (1, 2):
        shown = pinned(program, drawn, "one", {"value": value})
    assert shown["workflow"]["pinnedOutputs"] == [{"nodeId": "one", "output": {"value": 2}}]

    assert pinned(program, drawn, "one", None)["workflow"]["pinnedOutputs"] == []


def test_each_act_needs_its_permission(acme: make.Tenant, drawn: uuid.UUID) -> None:
    reads = caller(acme, Permission.WORKFLOWS_READ)

    told = [pinned(reads, drawn, "one", {"value": 1}), tried(reads, drawn, "one")]

    assert [answer["errors"][0]["code"] for answer in told] == ["FORBIDDEN", "FORBIDDEN"]
    assert runs_of(acme) == 0


def test_a_strangers_workflow_is_none(
    acme: make.Tenant, globex: make.Tenant, drawn: uuid.UUID
) -> None:
    stranger = caller(globex)

    for workflow in (drawn, uuid.uuid4()):
        told = [pinned(stranger, workflow, "one", {"value": 1}), tried(stranger, workflow, "one")]
        assert [answer["errors"][0]["code"] for answer in told] == ["NOT_FOUND", "NOT_FOUND"]


def test_the_page_tests_and_pins(acme: make.Tenant, drawn: uuid.UUID) -> None:
    page = browser(acme.owner)
    page.handler.enforce_csrf_checks = False
    path = f"/t/acme/workflows/{drawn}/steps/two/test/"

    shown = page.get(path)
    pin = page.post(
        f"/t/acme/workflows/{drawn}/steps/one/test/", {"pin": 1, "output": json.dumps({"value": 5})}
    )
    wrong = page.post(path, {"pin": 1, "output": '{"gone": 5}'})
    sent = page.post(
        path, {"input": "{}", "use_pinned": "on", "idempotency_key": str(uuid.uuid4())}
    )

    assert (shown.status_code, pin.status_code, wrong.status_code) == (200, 302, 422)
    assert sent.status_code == 302
    assert "/runs/" in sent.headers["Location"]
    assert b'aria-label="Test ' in page.get(f"/t/acme/workflows/{drawn}/").content
    assert page.get(f"/t/acme/workflows/{drawn}/steps/nothing/test/").status_code == 404
    with scope.tenant(acme.id):
        assert Pin.objects.get().node_id == "one"
        assert Run.objects.count() == 1


def test_ids_are_told_as_graphql_tells_them(acme: make.Tenant, drawn: uuid.UUID) -> None:
    told = caller(acme).data(TEST, id=global_id("Workflow", drawn), node="one", input={})

    assert told["testNode"]["errors"] == []
