"""Retry and fork through the API: consent, codes, checkpoints, the chain."""

from __future__ import annotations

from typing import Any

import pytest

from apps.executions.actions import start_run
from apps.executions.engine.ports import StepCall, StepDone, StepFailed, StepOutcome
from apps.executions.models import Run
from apps.kit.graphql.nodes import global_id
from apps.tenancy import scope
from apps.versions.models import WorkflowVersion
from apps.workflows.actions import create_workflow
from apps.workflows.graph import catalogue
from tests.executions import world
from tests.executions.world import ScriptedRunner
from tests.factories import tenancy as make
from tests.factories.graphs import OWN_TYPES, a, raw, to
from tests.factories.workflows import anybody
from tests.graphql.calls import caller

pytestmark = pytest.mark.django_db(transaction=True)

FORK = """mutation($id: ID!, $from: String!, $confirm: [String!], $input: JSON) {
  forkExecution(executionId: $id, fromPath: $from, confirmEffects: $confirm, input: $input) {
    execution { id status retriedFrom { id } nodeRuns {
      edges { node { path reusedFrom isPinned } } } }
    errors { __typename code message path
      ... on RunRefusedError { reason }
      ... on EffectsNeedConsentError {
        effects { path nodeId nodeType effect happenedAt times inDoubt } } }
  }
}"""
RETRY = """mutation($id: ID!, $at: ID) {
  retryExecution(executionId: $id, fromCheckpoint: $at) {
    execution { id status }
    errors { __typename code ... on RunRefusedError { reason } }
  }
}"""


@pytest.fixture(autouse=True)
def _types() -> Any:
    for node_type in OWN_TYPES:
        catalogue.register(node_type)
    yield
    for node_type in OWN_TYPES:
        del catalogue.INSTALLED._by_key[node_type.key]


def ended(tenant: make.Tenant, *, broken: str = "") -> Run:
    def answer(call: StepCall, *_: object) -> StepOutcome:
        if call.path == broken:
            return StepFailed(code="NO", message="no")
        return StepDone(outputs={"value": call.path})

    with scope.tenant(tenant.id, actor=tenant.owner):
        nodes = [a("a"), a("b", "keyed"), a("c")]
        document = raw(nodes, [to("a", "b"), to("b", "c")])
        drawn = create_workflow(actor=tenant.owner, document=document)
        run = start_run(actor=tenant.owner, workflow_id=drawn.pk)
        version = WorkflowVersion.objects.get(pk=run.version_id)
    world.VERSIONS.documents[version.pk] = version.graph
    with world.worker(ScriptedRunner(answer)):
        return world.finished(tenant, run.pk)


def test_a_fork_asks_for_consent_with_the_list(acme: make.Tenant) -> None:
    run = ended(acme)
    given = {"id": global_id("Execution", run.pk), "from": "b"}
    answer = caller(acme).data(FORK, **given)["forkExecution"]
    assert answer["execution"] is None
    (error,) = answer["errors"]
    assert (error["__typename"], error["code"]) == (
        "EffectsNeedConsentError",
        "EFFECTS_NEED_CONSENT",
    )
    (effect,) = error["effects"]
    assert effect.pop("happenedAt")
    assert effect == {
        "path": "b",
        "nodeId": "b",
        "nodeType": "test.keyed",
        "effect": "KEYED",
        "times": 1,
        "inDoubt": False,
    }
    answer = caller(acme).data(FORK, **given, confirm=["b"])["forkExecution"]
    assert answer["errors"] == []
    assert answer["execution"]["retriedFrom"] == {"id": given["id"]}
    nodes = [edge["node"] for edge in answer["execution"]["nodeRuns"]["edges"]]
    assert [(one["path"], one["reusedFrom"]) for one in nodes] == [
        ("a", given["id"]),
        ("b", None),
        ("c", None),
    ]


def test_refusals_have_stable_codes(acme: make.Tenant) -> None:
    run = ended(acme)
    key = global_id("Execution", run.pk)
    for given, reason in (
        ({"from": "nowhere"}, "STEP_UNKNOWN"),
        ({"from": "c", "input": {"no": 1}}, "INPUT_UNKNOWN"),
    ):
        (error,) = caller(acme).data(FORK, id=key, **given)["forkExecution"]["errors"]
        assert (error["__typename"], error["reason"]) == ("RunRefusedError", reason)
    answer = caller(acme).data(FORK, id=key, **{"from": "c", "input": 7})["forkExecution"]
    (error,) = answer["errors"]
    assert error["path"] == ["input"]
    (error,) = caller(acme).data(RETRY, id=key)["retryExecution"]["errors"]
    assert error["reason"] == "NOTHING_TO_RETRY"
    (error,) = caller(acme).data(RETRY, id=key, at="nonsense/1")["retryExecution"]["errors"]
    assert error["reason"] == "CHECKPOINT_UNKNOWN"


def test_a_checkpoint_is_where_a_retry_goes_on(acme: make.Tenant) -> None:
    run = ended(acme)
    key = global_id("Execution", run.pk)
    query = "query($id: ID!) { execution(id: $id) { checkpoints { id nodeId resumable } } }"
    points = caller(acme).data(query, id=key)["execution"]["checkpoints"]
    assert [(one["nodeId"], one["resumable"]) for one in points] == [
        ("a", True),
        ("b", True),
        ("c", True),
    ]
    answer = caller(acme).data(RETRY, id=key, at=points[1]["id"])["retryExecution"]
    assert answer["errors"] == []
    assert answer["execution"]["status"] == "QUEUED"


def test_another_organizations_run_is_not_there(acme: make.Tenant, globex: make.Tenant) -> None:
    run = ended(acme, broken="c")
    for id_ in (global_id("Execution", run.pk), global_id("Execution", anybody())):
        (error,) = caller(globex).data(RETRY, id=id_)["retryExecution"]["errors"]
        assert error["code"] == "NOT_FOUND"
