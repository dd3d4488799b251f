"""Runs through the API: start, look, page, cancel."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.db import connection

from apps.executions.models import Run, RunEvent
from apps.kit.clock import now
from apps.kit.graphql.nodes import global_id
from apps.tenancy import scope
from apps.tenancy.actors import Permission, Role
from apps.tenancy.limits import Metric, set_limits
from apps.workflows.actions import create_workflow
from tests.factories import marketplace
from tests.factories import tenancy as make
from tests.graphql.calls import caller, codes
from tests.nodes.walk import EXAMPLES

pytestmark = pytest.mark.django_db

START = """mutation($id: ID!, $parameters: JSON, $key: ID, $environment: Environment) {
  executeWorkflow(workflowId: $id, parameters: $parameters, idempotencyKey: $key,
                  environment: $environment) {
    execution { id status version environment trigger parameters workflow { name } }
    errors { __typename code message path ... on QuotaExceededError { metric limit } }
  }
}"""


def drawn(tenant: make.Tenant, **configuration: Any) -> str:
    """A workflow of three nodes; its id."""
    nodes = [marketplace.node("input.constant", id=f"n{n}", value=n) for n in range(3)]
    document = marketplace.document(*nodes, **configuration)
    with scope.tenant(tenant.id, actor=tenant.owner):
        return global_id("Workflow", create_workflow(actor=tenant.owner, document=document).pk)


def count(tenant: make.Tenant) -> int:
    """Runs there are."""
    with scope.tenant(tenant.id):
        return int(Run.objects.count())


def test_a_run_starts(acme: make.Tenant) -> None:
    answer = caller(acme).data(START, id=drawn(acme))["executeWorkflow"]

    assert answer["errors"] == []
    assert answer["execution"]["status"] == "QUEUED"
    assert answer["execution"]["version"] == "draft"
    assert answer["execution"]["trigger"] == "API"


def test_a_bare_uuid_is_an_id_too(acme: make.Tenant) -> None:
    with scope.tenant(acme.id, actor=acme.owner):
        row = create_workflow(
            actor=acme.owner,
            document=marketplace.document(marketplace.node("input.constant", value=1)),
        )

    assert caller(acme).data(START, id=str(row.pk))["executeWorkflow"]["execution"]


def test_the_same_key_starts_one_run(acme: make.Tenant) -> None:
    program, workflow = caller(acme), drawn(acme)

    first = program.data(START, id=workflow, key="k")["executeWorkflow"]["execution"]["id"]
    again = program.data(START, id=workflow, key="k")["executeWorkflow"]["execution"]["id"]

    assert first == again
    assert count(acme) == 1


def test_the_header_is_a_key_too(acme: make.Tenant) -> None:
    program, workflow = caller(acme, **{"Idempotency-Key": "k"}), drawn(acme)

    for _ in range(2):
        program.data(START, id=workflow)

    assert count(acme) == 1


def test_the_same_key_for_another_request_is_refused(acme: make.Tenant) -> None:
    program = caller(acme)
    program.data(START, id=drawn(acme), key="k")

    (error,) = program.data(START, id=drawn(acme), key="k")["executeWorkflow"]["errors"]

    assert error["code"] == "IDEMPOTENCY_MISMATCH"


@pytest.mark.parametrize(
    ("variables", "code"),
    [
        ({"parameters": [1, 2]}, "INVALID"),
        ({"parameters": {"unknown": 1}}, "INVALID"),
        ({"environment": "PRODUCTION"}, None),
    ],
)
def test_a_bad_start_is_refused_and_writes_nothing(
    acme: make.Tenant, variables: dict[str, Any], code: str | None
) -> None:
    answer = caller(acme).data(START, id=drawn(acme), **variables)["executeWorkflow"]

    assert answer["execution"] is None
    assert code is None or answer["errors"][0]["code"] == code
    assert count(acme) == 0


def test_a_run_over_quota_names_the_limit(acme: make.Tenant) -> None:
    with scope.tenant(acme.id):
        set_limits({Metric.RUNS_PER_MONTH: 0})

    (error,) = caller(acme).data(START, id=drawn(acme))["executeWorkflow"]["errors"]

    assert error["__typename"] == "QuotaExceededError"
    assert (error["metric"], error["limit"]) == ("runs_per_month", "0")
    assert count(acme) == 0


def test_a_viewer_starts_nothing(acme: make.Tenant) -> None:
    viewer = make.member(acme, role=Role.VIEWER)

    (error,) = caller(viewer).data(START, id=drawn(acme))["executeWorkflow"]["errors"]

    assert error["code"] == "FORBIDDEN"


def test_without_the_scope_no_run_is_read(acme: make.Tenant) -> None:
    answer = caller(acme, Permission.AUDIT_READ).run(
        "query($x: ID!) { execution(id: $x) { id } }", x="x"
    )

    assert codes(answer) == ["FORBIDDEN"]


def test_steps_come_in_pages_in_the_documents_order(acme: make.Tenant) -> None:
    program = caller(acme)
    run = program.data(START, id=drawn(acme))["executeWorkflow"]["execution"]["id"]
    query = """query($run: ID!, $after: String) { execution(id: $run) {
      nodeRuns(first: 2, after: $after) { totalCount { value } pageInfo { hasNextPage endCursor }
        nodes { id nodeId status } } } }"""

    first = program.data(query, run=run)["execution"]["nodeRuns"]
    cursor = first["pageInfo"]["endCursor"]
    second = program.data(query, run=run, after=cursor)["execution"]["nodeRuns"]

    assert [n["nodeId"] for n in first["nodes"] + second["nodes"]] == ["n0", "n1", "n2"]
    assert (first["pageInfo"]["hasNextPage"], second["pageInfo"]["hasNextPage"]) == (True, False)
    assert first["totalCount"] == {"value": 3}
    again = program.data(
        "query($x: ID!) { node(id: $x) { ... on NodeRun { nodeId } } }", x=first["nodes"][1]["id"]
    )
    assert again["node"] == {"nodeId": "n1"}


def test_steps_of_a_loop_come_iteration_by_iteration(acme: make.Tenant) -> None:
    document = json.loads((EXAMPLES / "root.json").read_text(encoding="utf-8"))
    with scope.tenant(acme.id, actor=acme.owner):
        workflow = global_id("Workflow", create_workflow(actor=acme.owner, document=document).pk)
    program = caller(acme)
    run = program.data(START, id=workflow)["executeWorkflow"]["execution"]["id"]
    body = {"startedAt": 1, "outputs": {}}
    opened = {"startedAt": 1, "values": {}}
    for seq, (type_, path, more) in enumerate(
        (
            ("step.iterated", "refine", {**opened, "index": 0}),
            ("step.completed", "refine[0]/improve", body),
            ("step.iterated", "refine", {**opened, "index": 10}),
            ("step.completed", "refine[10]/improve", body),
            ("step.iterated", "refine", {**opened, "index": 9}),
            ("step.completed", "refine[9]/deliver", body),
        ),
        start=2,
    ):
        with scope.tenant(acme.id):
            RunEvent.objects.create(
                tenant_id=acme.id,
                run_id=Run.objects.get().pk,
                seq=seq,
                type=type_,
                path=path,
                attempt=1,
                body=more,
                at=now(),
            )
    query = """query($run: ID!) { execution(id: $run) { nodeRuns(first: 20) {
      totalCount { value } nodes { id nodeId path itemIndex status } } } }"""

    found = program.data(query, run=run)["execution"]["nodeRuns"]

    assert found["totalCount"] == {"value": 6}
    assert [(one["path"], one["nodeId"], one["itemIndex"]) for one in found["nodes"]] == [
        ("first", "first", None),
        ("refine", "refine", None),
        ("refine[0]/improve", "improve", 0),
        ("refine[9]/deliver", "deliver", 9),
        ("refine[10]/improve", "improve", 10),
        ("root", "root", None),
    ]
    assert found["nodes"][1]["status"] == "RUNNING"
    again = program.data(
        "query($x: ID!) { node(id: $x) { ... on NodeRun { path } } }", x=found["nodes"][3]["id"]
    )
    assert again["node"] == {"path": "refine[9]/deliver"}


@pytest.mark.parametrize("cursor", ["step-x", "nonsense", "step--1", "step-" + "9" * 40])
def test_a_strange_cursor_is_refused(acme: make.Tenant, cursor: str) -> None:
    program = caller(acme)
    run = program.data(START, id=drawn(acme))["executeWorkflow"]["execution"]["id"]

    answer = program.run(
        "query($run: ID!, $after: String) { execution(id: $run) {"
        " nodeRuns(after: $after) { nodes { id } } } }",
        run=run,
        after=cursor,
    )

    assert codes(answer) == ["INVALID"]


def test_lines_are_filtered_by_node_and_severity(acme: make.Tenant) -> None:
    program = caller(acme)
    run = program.data(START, id=drawn(acme))["executeWorkflow"]["execution"]["id"]
    with scope.tenant(acme.id), connection.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO run_log (tenant_id, run_id, path, attempt, kind, level, message, at)"
            " SELECT tenant_id, id, %s, 1, 'log', %s, %s, now() FROM run",
            [(p, s, f"{p} {s}") for p, s in (("n0", "INFO"), ("n0", "ERROR"), ("n1", "WARN"))],
        )
    query = """query($run: ID!, $node: String, $level: LogLevel) { execution(id: $run) {
      logs(nodeId: $node, level: $level) { nodes { message } } } }"""

    def messages(**chosen: str) -> list[str]:
        found = program.data(query, run=run, **chosen)["execution"]["logs"]["nodes"]
        return [line["message"] for line in found]

    assert messages() == ["n0 INFO", "n0 ERROR", "n1 WARN"]
    assert messages(node="n0") == ["n0 INFO", "n0 ERROR"]
    assert messages(level="WARN") == ["n0 ERROR", "n1 WARN"]


def test_a_workflows_runs_are_filtered(acme: make.Tenant) -> None:
    program, workflow = caller(acme), drawn(acme)
    for _ in range(3):
        program.data(START, id=workflow)
    query = """query($id: ID!, $filter: ExecutionFilter) { workflow(id: $id) {
      executions(first: 2, filter: $filter) { totalCount { value } nodes { status } } } }"""

    queued = program.data(query, id=workflow, filter={"status": ["QUEUED"]})
    failed = program.data(query, id=workflow, filter={"status": ["FAILED"]})

    assert queued["workflow"]["executions"]["totalCount"] == {"value": 3}
    assert len(queued["workflow"]["executions"]["nodes"]) == 2
    assert failed["workflow"]["executions"]["nodes"] == []


def test_a_run_can_be_canceled(acme: make.Tenant) -> None:
    program = caller(acme)
    run = program.data(START, id=drawn(acme))["executeWorkflow"]["execution"]["id"]

    answer = program.data(
        "mutation($run: ID!) { cancelExecution(executionId: $run) { execution { id }"
        " errors { code } } }",
        run=run,
    )

    assert answer["cancelExecution"] == {"execution": {"id": run}, "errors": []}
