"""Workflows over GraphQL: what is answered, what is refused by name, and for how many queries."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from apps.kit.graphql.nodes import global_id
from apps.tenancy import scope
from apps.tenancy.actors import Actor, Permission
from apps.tenancy.models import EnvironmentKind
from apps.vault.actions import set_secret
from apps.workflows import actions
from apps.workflows.graph import schema
from apps.workflows.models import Workflow
from tests.factories.tenancy import Tenant
from tests.factories.workflow_nodes import training
from tests.factories.workflows import anybody, workflow
from tests.graphql.calls import Caller, caller, codes

EVERYTHING = """
fragment Everything on Workflow {
  id name type description version status viewerCan
  nodes { id type typeVersion name position { x y } configuration parentId retry timeoutSeconds
          cache onError compensation disabled notes resources { cpu memory pool }
          inputs { id name dataType required multiple } outputs { name dataType } }
  connections { id source sourcePort target targetPort condition }
  configuration { resources { timeoutSeconds } schedules { id cron timezone enabled }
                  triggers { id kind enabled config url }
                  parameters { name schema default required }
                  variables errorHandler sla budget { amountMinor currency formatted } }
  metadata { created modified author { displayName } tags }
  draft { revision definition updatedAt updatedBy { id displayName } collaborators { displayName }
          validation { status issues { severity code message nodeId connectionId path fix } } } }
"""
LIST = (
    """query($q: String, $s: WorkflowStatus) { workflows(query: $q, status: $s, first: 20) {
  totalCount { value isExact } pageInfo { hasNextPage } nodes { ...Everything } } }"""
    + EVERYTHING
)
ONE = "query($id: ID!) { workflow(id: $id) { ...Everything } }" + EVERYTHING
ERRORS = """
fragment Error on UserError { __typename message code path
  ... on GraphValidationError { issues { code message nodeId path fix } }
  ... on StaleRevisionError { expectedRevision currentRevision } }
"""
CREATE = (
    """mutation($d: WorkflowDocument!, $k: ID) { createWorkflow(document: $d, idempotencyKey: $k) {
  workflow { id name } draft { revision } errors { ...Error } } }"""
    + ERRORS
)
SAVE = (
    """mutation($id: ID!, $r: Int!, $d: WorkflowDocument, $p: JSON) {
  saveDraft(workflowId: $id, expectedRevision: $r, document: $d, patch: $p) {
    workflow { name } draft { revision definition validation { status } }
    errors { ...Error } } }"""
    + ERRORS
)


def gid(row: Workflow) -> str:
    return str(global_id("Workflow", row.pk))


@pytest.fixture
def program(acme: Tenant) -> Caller:
    """A key of Acme's owner."""
    return caller(acme)


def test_a_workflow_shows_all_that_its_document_says(acme: Tenant, program: Caller) -> None:
    document = training()
    document["nodes"][1] |= {"retry": {"maxAttempts": 2}, "onError": "continue"}
    document["nodes"].append({"id": "each", "type": "test.each", "parentId": None})
    document["connections"].append(
        {"source": "rows", "sourcePort": "table", "target": "each", "targetPort": "rows"}
    )
    document["configuration"] |= {
        "schedules": [{"cron": "0 6 * * *"}],
        "triggers": [{"kind": "WEBHOOK"}],
        "sla": {"maxDurationSeconds": 60},
        "budget": {"amountMinor": 1_500},
        "errorHandler": "tell",
    }
    made = workflow(acme, **document)
    shown = program.data(ONE, id=gid(made))["workflow"]
    assert (shown["name"], shown["type"], shown["status"]) == ("Training", "ML", "DRAFT")
    assert shown["version"] == "0.0.0"
    fit = shown["nodes"][1]
    assert fit["name"] == "Train"
    assert fit["retry"] == {"maxAttempts": 2}
    assert fit["onError"] == "continue"
    assert [port["name"] for port in fit["outputs"]] == ["model", "metrics", "error"]
    assert shown["configuration"]["budget"]["formatted"] == "15.00 USD"
    assert shown["configuration"]["triggers"][0]["kind"] == "WEBHOOK"
    assert shown["metadata"]["tags"] == ["demo"]
    assert shown["draft"]["revision"] == 1
    assert [one["code"] for one in shown["draft"]["validation"]["issues"]] == ["CONTAINER_EMPTY"]
    assert shown["draft"]["updatedBy"]["displayName"] == acme.owner.name
    assert len(shown["draft"]["collaborators"]) == 1
    assert "edit" in shown["viewerCan"]


def test_a_list_costs_the_same_for_one_and_for_many(acme: Tenant, program: Caller) -> None:
    def queries() -> int:
        with CaptureQueriesContext(connection) as captured:
            program.data(LIST)
        return len(captured)

    workflow(acme)
    queries()  # The first call notes the key's use.
    one = queries()
    for number in range(5):
        workflow(acme, name=f"Number {number}")
    assert queries() == one
    assert one <= 14


def test_lists_can_be_searched_and_paged(acme: Tenant, program: Caller) -> None:
    for name in ("Alpha", "Alphabet", "Beta"):
        gone = workflow(acme, name=name)
    with scope.tenant(acme.id, actor=acme.owner):
        actions.archive_workflow(actor=acme.owner, workflow_id=gone.pk)
    found = program.data(LIST, q="alpha")["workflows"]
    assert [one["name"] for one in found["nodes"]] == ["Alphabet", "Alpha"]
    assert found["totalCount"] == {"value": 2, "isExact": True}
    archived = program.data(LIST, s="ARCHIVED")["workflows"]
    assert [one["name"] for one in archived["nodes"]] == ["Beta"]
    page = "query($a: String) { workflows(first: 1, after: $a, type: ML) { nodes { name }"
    page += " pageInfo { endCursor hasNextPage } } }"
    first = program.data(page)["workflows"]
    second = program.data(page, a=first["pageInfo"]["endCursor"])["workflows"]
    assert [one["name"] for one in first["nodes"] + second["nodes"]] == ["Alphabet", "Alpha"]
    assert not second["pageInfo"]["hasNextPage"]


def test_a_document_becomes_a_workflow_once_per_key(acme: Tenant, program: Caller) -> None:
    first, again = (program.data(CREATE, d=training(), k="k")["createWorkflow"] for _ in range(2))
    assert first["errors"] == []
    assert first["workflow"]["id"] == again["workflow"]["id"]
    with scope.tenant(acme.id):
        assert Workflow.objects.count() == 1


@pytest.mark.parametrize(
    ("changed", "code", "path"),
    [
        (
            {"nodes": [{"id": "a", "type": "no.such"}], "connections": []},
            "NODE_TYPE_UNKNOWN",
            "nodes",
        ),
        ({"connections": []}, "INPUT_MISSING", "nodes"),
        ({"bogus": 1}, "UNKNOWN_FIELD", "bogus"),
        ({"description": "x" * 2**20}, "DOCUMENT_TOO_LARGE", None),
        ({"description": 3}, "WRONG_TYPE", "description"),
    ],
)
def test_bad_documents_are_refused_by_name(
    acme: Tenant, program: Caller, changed: dict[str, Any], code: str, path: str | None
) -> None:
    answer = program.data(CREATE, d={**training(), **changed})["createWorkflow"]
    assert answer["workflow"] is None
    (error,) = answer["errors"]
    assert (error["__typename"], error["code"]) == ("GraphValidationError", "INVALID")
    assert error["path"][:2] == (["document", path] if path else ["document"])
    assert code in {issue["code"] for issue in error["issues"]}
    with scope.tenant(acme.id):
        assert Workflow.objects.count() == 0


def test_a_draft_is_saved_against_its_revision(acme: Tenant, program: Caller) -> None:
    made = workflow(acme)
    patch = [{"op": "replace", "path": "/name", "value": "Renamed"}]
    saved = program.data(SAVE, id=gid(made), r=1, p=patch)["saveDraft"]
    assert (saved["workflow"]["name"], saved["draft"]["revision"]) == ("Renamed", 2)
    unfinished = program.data(SAVE, id=str(made.pk), r=2, d={**training(), "connections": []})
    assert unfinished["saveDraft"]["draft"]["validation"]["status"] == "INVALID"
    stale = program.data(SAVE, id=gid(made), r=2, d=training())["saveDraft"]
    assert stale["workflow"] is None
    (error,) = stale["errors"]
    assert error["__typename"] == "StaleRevisionError"
    assert (error["expectedRevision"], error["currentRevision"]) == (2, 3)
    with scope.tenant(acme.id):
        assert Workflow.objects.get().draft_revision == 3


def test_validation_keeps_nothing_and_says_everything(acme: Tenant, program: Caller) -> None:
    query = "mutation($d: WorkflowDocument!) { validateWorkflow(document: $d) {"
    query += " status issues { severity code message nodeId connectionId path fix } } }"
    assert program.data(query, d=training())["validateWorkflow"] == {
        "status": "VALID",
        "issues": [],
    }
    wrong = {**training(), "nodes": [*training()["nodes"], {"id": "x", "type": "test.trian"}]}
    report = program.data(query, d=wrong)["validateWorkflow"]
    (issue,) = report["issues"]
    assert (report["status"], issue["code"]) == ("INVALID", "NODE_TYPE_UNKNOWN")
    assert issue["fix"] == [{"op": "replace", "path": "/nodes/3/type", "value": "test.train"}]
    assert program.data(query, d="no document")["validateWorkflow"]["status"] == "INVALID"
    with scope.tenant(acme.id):
        assert Workflow.objects.count() == 0


def test_copy_archive_restore(acme: Tenant, program: Caller) -> None:
    made = gid(workflow(acme))
    clone = program.data(
        'mutation($id: ID!) { cloneWorkflow(workflowId: $id, name: "B") { workflow { name } } }',
        id=made,
    )
    assert clone["cloneWorkflow"]["workflow"]["name"] == "B"
    for verb, status in (("archive", "ARCHIVED"), ("restore", "DRAFT")):
        mutation = (
            f"mutation($id: ID!) {{ {verb}Workflow(workflowId: $id) {{ workflow {{ status }} }} }}"
        )
        assert program.data(mutation, id=made)[f"{verb}Workflow"]["workflow"]["status"] == status


def test_node_types_are_forms_and_manuals(program: Caller) -> None:
    query = """query($q: String, $c: String) { nodeTypes(query: $q, category: $c) {
      type version category title description icon configSchema uiSchema deprecated effect
      missingExtra inputs { name dataType required } outputs { name } } }"""
    (sent,) = program.data(query, q="send", c="integration")["nodeTypes"]
    assert (sent["type"], sent["effect"], sent["missingExtra"]) == ("test.send", "UNSAFE", None)
    assert sent["uiSchema"]["secrets"] == ["token"]
    assert "url" in sent["configSchema"]["properties"]
    assert sent["inputs"] == [{"name": "value", "dataType": "any", "required": True}]
    assert program.data(query, q="no such words anywhere")["nodeTypes"] == []


def test_without_the_scope_nothing_is_shown(acme: Tenant, viewer: Actor) -> None:
    made = gid(workflow(acme))
    blind = caller(acme, Permission.AUDIT_READ)
    for query in ("{ workflows { nodes { id } } }", "{ nodeTypes { type } }"):
        assert codes(blind.run(query)) == ["FORBIDDEN"]
    assert blind.data("query($id: ID!) { node(id: $id) { id } }", id=made)["node"] is None
    refused = caller(viewer).data(CREATE, d=training())["createWorkflow"]
    assert [error["code"] for error in refused["errors"]] == ["FORBIDDEN"]


def test_an_id_of_another_tenant_is_told_like_a_random_one(acme: Tenant, globex: Tenant) -> None:
    theirs, program = gid(workflow(globex)), caller(acme)
    nobodys = str(global_id("Workflow", anybody()))
    for query in (ONE, SAVE):
        answers = [program.data(query, id=one, r=1, d=training()) for one in (theirs, nobodys)]
        assert answers[0] == answers[1]
    other = str(global_id("User", anybody()))
    assert (
        program.data("query($id: ID!) { workflow(id: $id) { id } }", id=other)["workflow"] is None
    )


def test_secrets_know_who_uses_them(acme: Tenant, program: Caller) -> None:
    made = workflow(acme)
    with scope.tenant(acme.id, actor=acme.owner):
        for name in ("TOKEN", "OTHER"):
            set_secret(
                actor=acme.owner,
                name=name,
                value="v",
                environment_id=acme.environments[EnvironmentKind.DEVELOPMENT.value].pk,
            )
    found = program.data("{ secrets(environment: DEVELOPMENT) { name usedBy { id } } }")["secrets"]
    assert {one["name"]: [user["id"] for user in one["usedBy"]] for one in found} == {
        "OTHER": [],
        "TOKEN": [gid(made)],
    }


def test_the_schema_of_documents_is_public(db: None) -> None:
    response = Client().get("/schemas/workflow/v1.json")
    assert response.status_code == 200
    assert response.content.decode() == schema.text()
    assert response["Access-Control-Allow-Origin"] == "*"
