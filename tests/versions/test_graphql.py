"""Versions, differences and approvals over GraphQL, with the number of queries they cost."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from apps.kit.graphql.nodes import global_id
from apps.tenancy import scope
from apps.tenancy.actors import Actor, Permission, Role
from apps.tenancy.models import EnvironmentKind
from apps.versions import actions
from apps.versions.models import Approval, ApprovalKind, WorkflowVersion
from apps.workflows.actions import save_draft
from apps.workflows.models import Workflow
from tests.factories import tenancy as make
from tests.factories.tenancy import Tenant
from tests.factories.workflows import anybody, commit, workflow
from tests.graphql.calls import browser, caller, codes

VERSIONS = """query($id: ID!) { workflow(id: $id) {
  version branches { name isProtected ahead behind head { version } }
  versions(first: 20) { totalCount { value } nodes {
    id workflowId version branch parents tags definition
    commit { hash author { displayName } timestamp message }
    changes { added { nodeId kind } modified { nodeId kind fields { path before after } }
              removed { nodeId } connectionsAdded connectionsRemoved }
    approval { required status approvers { displayName } comments { body } }
    deployment { environments rolloutStrategy rollbackVersion }
    validation { status } } } } }"""
COMMIT = """mutation($id: ID!, $v: String, $b: String!) {
  commitVersion(workflowId: $id, branch: $b, message: "Why.", version: $v) {
    version { version commit { message } }
    errors { __typename code message path
      ... on VersionConflictError { latestVersion suggestedVersion } } } }"""
DIFF = """query($id: ID!, $from: SemVer, $to: SemVer) { workflow(id: $id) {
  diff(from: $from, to: $to) { from to breaking behavior summary settings { path }
    parameterChanges { name kind breaking }
    changes { modified { nodeId kind fields { path before after } } } } } }"""
APPROVALS = """query($s: ApprovalStatus) { approvals(status: $s, first: 20) { nodes {
  id kind title status stage dueAt viewerCanDecide subject { id } requestedBy { displayName }
  stages { name required status decisions { by { displayName } approve comment } }
  comments { author { displayName } body createdAt nodeId } } } }"""
DECIDE = """mutation($id: ID!, $yes: Boolean!, $c: String, $f: JSON) {
  decideApproval(approvalId: $id, approve: $yes, comment: $c, form: $f) {
    approval { status } errors { code message path } } }"""


def gid(row: Workflow) -> str:
    return str(global_id("Workflow", row.pk))


def patched(tenant: Tenant, row: Workflow, path: str, value: Any) -> None:
    with scope.tenant(tenant.id, actor=tenant.owner):
        revision = Workflow.objects.get(pk=row.pk).draft_revision
        save_draft(
            actor=tenant.owner,
            workflow_id=row.pk,
            expected_revision=revision,
            patch_operations=[{"op": "add", "path": path, "value": value}],
        )


def ask(tenant: Tenant, subject: str = "nothing", **given: Any) -> Approval:
    with scope.tenant(tenant.id, actor=tenant.owner):
        return actions.request_approval(
            **{
                "actor": tenant.owner,
                "kind": ApprovalKind.DEPLOY,
                "subject": subject,
                "title": "Deploy",
                **given,
            }
        )


@pytest.fixture
def drawn(acme: Tenant) -> Workflow:
    """A valid workflow of Acme."""
    return workflow(acme)


@pytest.fixture
def editor(acme: Tenant) -> Actor:
    """Another person of Acme who may decide."""
    return make.member(acme, role=Role.EDITOR)


def test_a_commit_takes_the_next_number_or_a_higher_one(acme: Tenant, drawn: Workflow) -> None:
    program = caller(acme)
    first = program.data(COMMIT, id=gid(drawn), b="main")["commitVersion"]
    assert first["version"] == {"version": "1.0.0", "commit": {"message": "Why."}}
    patched(acme, drawn, "/nodes/1/configuration/trees", 11)
    taken = program.data(COMMIT, id=gid(drawn), b="main", v="1.0.0")["commitVersion"]
    assert taken["version"] is None
    (error,) = taken["errors"]
    assert (error["__typename"], error["code"]) == ("VersionConflictError", "ALREADY_EXISTS")
    assert (error["latestVersion"], error["suggestedVersion"]) == ("1.0.0", "1.1.0")
    (other,) = program.data(COMMIT, id=gid(drawn), b="dev")["commitVersion"]["errors"]
    assert (other["code"], other["path"]) == ("NOT_FOUND", ["branch"])
    with scope.tenant(acme.id):
        assert WorkflowVersion.objects.count() == 1


def test_a_draft_with_errors_is_not_committed(acme: Tenant, drawn: Workflow) -> None:
    patched(acme, drawn, "/connections", [])
    answer = caller(acme).data(COMMIT, id=gid(drawn), b="main")["commitVersion"]
    assert [error["__typename"] for error in answer["errors"]] == ["GraphValidationError"]
    with scope.tenant(acme.id):
        assert WorkflowVersion.objects.count() == 0


def test_versions_show_their_commit_changes_and_places_for_a_fixed_price(
    acme: Tenant, drawn: Workflow, editor: Actor
) -> None:
    program = caller(acme)

    def shown() -> tuple[list[dict[str, Any]], int]:
        with CaptureQueriesContext(connection) as captured:
            found = program.data(VERSIONS, id=gid(drawn))["workflow"]
        return found["versions"]["nodes"], len(captured)

    first = commit(acme, drawn)
    asked = ask(acme, str(global_id("WorkflowVersion", first.pk)))
    with scope.tenant(acme.id, actor=acme.owner):
        actions.deploy_version(
            actor=acme.owner, version_id=first.pk, environment=EnvironmentKind.STAGING
        )
        actions.decide_approval(actor=editor, approval_id=asked.pk, approve=True, comment="Good.")
    shown()
    (only,), price = shown()
    assert only["approval"]["status"] == "APPROVED"
    assert only["approval"]["approvers"] == [{"displayName": editor.name}]
    assert only["approval"]["comments"] == [{"body": "Good."}]
    assert only["deployment"]["environments"] == ["STAGING"]
    assert only["definition"]["name"] == "Training"
    for trees in (11, 12, 13):
        patched(acme, drawn, "/nodes/1/configuration/trees", trees)
        commit(acme, drawn)
    rows, dearer = shown()
    assert (dearer, price <= 20) == (price, True)
    assert [row["version"] for row in rows] == ["1.3.0", "1.2.0", "1.1.0", "1.0.0"]
    assert rows[0]["parents"] == [rows[1]["id"]]
    assert rows[0]["changes"]["modified"][0]["fields"] == [
        {"path": "configuration.trees", "before": 12, "after": 13}
    ]
    assert rows[0]["approval"] == {
        "required": False,
        "status": "NOT_REQUIRED",
        "approvers": [],
        "comments": [],
    }
    assert rows[0]["validation"]["status"] == "VALID"
    assert rows[0]["deployment"]["environments"] == []


def test_branches_are_there_from_the_first_commit_on(acme: Tenant, drawn: Workflow) -> None:
    program = caller(acme)
    assert program.data(VERSIONS, id=gid(drawn))["workflow"]["branches"] == []
    commit(acme, drawn)
    (main,) = program.data(VERSIONS, id=gid(drawn))["workflow"]["branches"]
    assert (main["name"], main["head"]["version"]) == ("main", "1.0.0")


def test_a_difference_names_fields_and_what_breaks(acme: Tenant, drawn: Workflow) -> None:
    program = caller(acme)
    everything = program.data(DIFF, id=gid(drawn))["workflow"]["diff"]
    assert everything["from"] == "0.0.0"
    commit(acme, drawn)
    patched(acme, drawn, "/nodes/0/position", {"x": 9, "y": 9})
    moved = program.data(DIFF, id=gid(drawn))["workflow"]["diff"]
    assert (moved["from"], moved["to"]) == ("1.0.0", "1.0.0+draft.2")
    assert (moved["behavior"], moved["changes"]["modified"][0]["kind"]) == (False, "MOVED")
    patched(acme, drawn, "/configuration/parameters", [{"name": "other", "required": True}])
    patched(acme, drawn, "/nodes/1/configuration/target", "x")
    commit(acme, drawn)
    made = program.data(DIFF, **{"id": gid(drawn), "from": "1.0.0", "to": "2.0.0"})
    diff = made["workflow"]["diff"]
    assert diff["breaking"]
    assert {one["name"]: one["kind"] for one in diff["parameterChanges"]} == {
        "target": "REMOVED",
        "other": "ADDED",
    }
    unknown = program.run(DIFF, **{"id": gid(drawn), "from": "7.0.0"})
    assert codes(unknown) == ["NOT_FOUND"]


def test_a_version_is_deployed_at_once(acme: Tenant, drawn: Workflow) -> None:
    key = str(global_id("WorkflowVersion", commit(acme, drawn).pk))
    mutation = """mutation($id: ID!, $s: RolloutStrategy, $p: Int) {
      deployVersion(versionId: $id, environment: PRODUCTION, strategy: $s, canaryPercent: $p) {
        version { deployment { environments } } errors { path } } }"""
    program = caller(acme)
    for given in ({"s": "CANARY"}, {"p": 10}):
        refused = program.data(mutation, id=key, **given)["deployVersion"]
        assert refused["errors"] == [{"path": ["strategy"]}]
    done = program.data(mutation, id=key)["deployVersion"]
    assert done["version"]["deployment"]["environments"] == ["PRODUCTION"]
    assert program.data(VERSIONS, id=gid(drawn))["workflow"]["version"] == "1.0.0"


def test_a_version_becomes_the_draft_again(acme: Tenant, drawn: Workflow) -> None:
    commit(acme, drawn)
    patched(acme, drawn, "/name", "Other")
    mutation = """mutation($id: ID!, $v: String) { restoreWorkflow(workflowId: $id, version: $v) {
      workflow { name } errors { code } } }"""
    program = caller(acme)
    done = program.data(mutation, id=gid(drawn), v="1.0.0")["restoreWorkflow"]
    assert done["workflow"] == {"name": "Training"}
    refused = program.data(mutation, id=gid(drawn), v="9.0.0")["restoreWorkflow"]
    assert refused["errors"] == [{"code": "NOT_FOUND"}]


def test_members_decide_over_the_api(acme: Tenant, drawn: Workflow, editor: Actor) -> None:
    asked = ask(acme, gid(drawn))
    key = str(global_id("ApprovalRequest", asked.pk))
    (own,) = caller(acme).data(APPROVALS)["approvals"]["nodes"]
    assert not own["viewerCanDecide"]
    assert own["subject"] == {"id": gid(drawn)}
    refused = caller(acme).data(DECIDE, id=key, yes=True)["decideApproval"]
    assert [error["code"] for error in refused["errors"]] == ["FORBIDDEN"]
    program = caller(editor)
    for wrong in ({"yes": False}, {"yes": True, "f": [1]}):
        assert program.data(DECIDE, id=key, **wrong)["decideApproval"]["approval"] is None
    done = program.data(DECIDE, id=key, yes=True, c="Good.", f={"a": 1})["decideApproval"]
    assert (done["approval"], done["errors"]) == ({"status": "APPROVED"}, [])
    assert program.data(APPROVALS)["approvals"]["nodes"] == []
    (shown,) = program.data(APPROVALS, s="APPROVED")["approvals"]["nodes"]
    assert shown["stages"] == [
        {
            "name": "review",
            "required": 1,
            "status": "APPROVED",
            "decisions": [
                {"by": {"displayName": editor.name}, "approve": True, "comment": "Good."}
            ],
        }
    ]
    assert shown["comments"][0]["body"] == "Good."


def test_stages_that_are_passed_and_to_come_say_so(acme: Tenant, editor: Actor) -> None:
    stages = tuple(actions.Stage(name=name) for name in ("a", "b", "c"))
    key = str(global_id("ApprovalRequest", ask(acme, stages=stages).pk))
    program = caller(editor)
    program.data(DECIDE, id=key, yes=True)
    (shown,) = program.data(APPROVALS)["approvals"]["nodes"]
    assert [one["status"] for one in shown["stages"]] == ["APPROVED", "PENDING", "PENDING"]
    assert shown["subject"] is None


def test_a_list_of_approvals_costs_the_same_for_one_and_for_many(
    acme: Tenant, drawn: Workflow, editor: Actor
) -> None:
    program = caller(acme)

    def price() -> int:
        query = APPROVALS.replace("subject { id }", "")
        with CaptureQueriesContext(connection) as captured:
            program.data(query)
        return len(captured)

    ask(acme)
    price()
    one = price()
    for number in range(4):
        asked = ask(acme, str(number), stages=(actions.Stage(required=2),))
        with scope.tenant(acme.id, actor=editor):
            actions.decide_approval(actor=editor, approval_id=asked.pk, approve=True)
    assert price() in (one, one + 1)  # No votes, no query for voters.
    assert one <= 14


def test_staff_see_and_decide_what_is_theirs_and_nothing_else(acme: Tenant) -> None:
    kind = ApprovalKind.PUBLISHER_VERIFICATION
    theirs = ask(acme, "one", kind=kind, by_platform=True)
    ask(acme, "two")
    client = browser(make.staff())

    def run(query: str, **variables: Any) -> Any:
        body = json.dumps({"query": query, "variables": variables})
        headers = {"X-CSRFToken": token(client)}
        answer = client.post("/graphql", body, content_type="application/json", headers=headers)
        return answer.json()["data"]

    assert [one["title"] for one in run(APPROVALS)["approvals"]["nodes"]] == ["Deploy"]
    key = str(global_id("ApprovalRequest", theirs.pk))
    done = run(DECIDE, id=key, yes=False, c="Unknown address.")["decideApproval"]
    assert done == {"approval": {"status": "REJECTED"}, "errors": []}


def token(client: Client) -> str:
    client.get("/graphql")
    return client.cookies["csrftoken"].value


def test_ids_of_another_tenant_are_told_like_random_ones(acme: Tenant, globex: Tenant) -> None:
    foreign = workflow(globex)
    version = commit(globex, foreign)
    asked = ask(globex)
    program = caller(acme)
    for query, kind, pk in (
        (COMMIT, "Workflow", foreign.pk),
        (VERSIONS, "Workflow", foreign.pk),
        (DECIDE, "ApprovalRequest", asked.pk),
        ("query($id: ID!) { node(id: $id) { id } }", "WorkflowVersion", version.pk),
        ("query($id: ID!) { node(id: $id) { id } }", "ApprovalRequest", asked.pk),
    ):
        said = [
            program.run(query, id=str(global_id(kind, one)), b="main", yes=True)
            for one in (pk, anybody())
        ]
        assert said[0]["data"] == said[1]["data"]


def test_without_the_scope_nothing_is_loaded(acme: Tenant, drawn: Workflow) -> None:
    version, asked = commit(acme, drawn), ask(acme)
    blind = caller(acme, Permission.AUDIT_READ)
    for kind, pk in (("WorkflowVersion", version.pk), ("ApprovalRequest", asked.pk)):
        query = "query($id: ID!) { node(id: $id) { id } }"
        assert blind.data(query, id=str(global_id(kind, pk)))["node"] is None
    assert codes(blind.run(APPROVALS)) == ["FORBIDDEN"]
