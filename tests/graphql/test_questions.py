"""The list of steps that wait for a person's word."""

from __future__ import annotations

import pytest

from apps.executions.actions import start_run
from apps.executions.models import Question, QuestionKind
from apps.kit.graphql.nodes import global_id
from apps.kit.ids import uuid7
from apps.tenancy import scope
from apps.tenancy.actors import Permission
from apps.workflows.actions import create_workflow
from tests.factories import marketplace
from tests.factories import tenancy as make
from tests.graphql.calls import caller, codes

pytestmark = pytest.mark.django_db

ASK = """query($kind: StepQuestionKind, $after: String) {
  questions(kind: $kind, first: 2, after: $after) {
    totalCount { value } pageInfo { hasNextPage endCursor }
    nodes { nodeRunId nodeId path attempt kind code message recovery askedAt dueAt
            execution { id workflow { name } } } } }"""


def asks(tenant: make.Tenant, *paths: str, kind: QuestionKind = QuestionKind.DOUBT) -> str:
    """Steps of one run wait; the run's id."""
    document = marketplace.document(marketplace.node("input.constant", id="step", value=1))
    with scope.tenant(tenant.id, actor=tenant.owner):
        drawn = create_workflow(actor=tenant.owner, document=document)
        run = start_run(actor=tenant.owner, workflow_id=drawn.pk)
        for key, path in zip(sorted(uuid7() for _ in paths), paths, strict=True):
            Question.objects.create(
                id=key,
                run_id=run.pk,
                workflow_id=drawn.pk,
                path=path,
                attempt=2,
                kind=kind,
                code="STEP_TIMEOUT",
                message=f"{path} is late",
            )
    return str(run.pk)


def test_the_oldest_come_first_a_page_at_a_time(acme: make.Tenant, globex: make.Tenant) -> None:
    run = asks(acme, "step", "rows[1]/step", "rows[2]/step")
    asks(globex, "theirs")
    api = caller(acme)
    first = api.data(ASK)["questions"]

    assert first["totalCount"]["value"] == 3
    assert [one["path"] for one in first["nodes"]] == ["step", "rows[1]/step"]
    one = first["nodes"][1]
    assert one["nodeRunId"] == global_id("NodeRun", f"{run}/rows[1]/step")
    assert (one["nodeId"], one["attempt"], one["kind"]) == ("step", 2, "DOUBT")
    assert (one["code"], one["message"]) == ("STEP_TIMEOUT", "rows[1]/step is late")
    assert one["recovery"]
    assert one["askedAt"]
    assert one["dueAt"] is None
    assert one["execution"]["id"] == global_id("Execution", run)

    rest = api.data(ASK, after=first["pageInfo"]["endCursor"])["questions"]
    assert [one["path"] for one in rest["nodes"]] == ["rows[2]/step"]
    assert not rest["pageInfo"]["hasNextPage"]


def test_one_kind_alone(acme: make.Tenant) -> None:
    asks(acme, "doubt")
    asks(acme, "late", kind=QuestionKind.ESCALATION)
    found = caller(acme).data(ASK, kind="ESCALATION")["questions"]["nodes"]
    assert [one["path"] for one in found] == ["late"]


def test_who_may_not_read_workflows_reads_no_questions(acme: make.Tenant) -> None:
    asks(acme, "step")
    program = caller(acme, Permission.SECRETS_READ)
    assert codes(program.run(ASK)) == ["FORBIDDEN"]
