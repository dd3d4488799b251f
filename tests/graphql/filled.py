"""Many of everything in one organization, and the statements that an operation sends."""

from __future__ import annotations

from django.db import connection
from django.test.utils import CaptureQueriesContext

from apps.executions.actions import start_run
from apps.executions.models import Question, QuestionKind, Run
from apps.kit.graphql.nodes import global_id
from apps.marketplace.actions import install_workflow
from apps.marketplace.planning import Choices
from apps.tenancy import scope
from apps.tenancy.actors import Role
from apps.versions.actions import commit_version
from apps.versions.actions.approvals import request_approval
from apps.versions.models import ApprovalKind
from apps.workflows.actions import create_workflow, save_draft
from tests.factories import marketplace, vault
from tests.factories import tenancy as make
from tests.graphql.calls import Caller
from tests.graphql.populated import drawing

# Authentication, the savepoints around it, and the note of the key's last use.
DOOR = ("SAVEPOINT", "RELEASE SAVEPOINT", "SELECT set_config")


def fill(tenant: make.Tenant, tag: str, rows: int) -> dict[str, str]:
    """That many of everything; ids for the screens that show one thing."""
    actor = tenant.owner
    for number in range(rows):
        make.member(tenant, role=Role.VIEWER)
        vault.secret(tenant, name=f"{tag}_SECRET_{number}")
        vault.variable(tenant, name=f"{tag}_{number}")
        vault.connection(tenant, name=f"{tag} {number}")
        shelf = marketplace.listing(
            tenant, drawing(f"{tag}{number}", "public"), name=f"{tag} public {number}"
        )
        with scope.tenant(tenant.id, actor=actor):
            drawn = create_workflow(actor=actor, document=drawing(f"{tag} {number}"))
            install_workflow(
                actor=actor,
                listing_id=shelf.pk,
                environment_kind="DEVELOPMENT",
                choices=Choices(accept_license=True),
            )
            request_approval(
                actor=actor,
                kind=ApprovalKind.VERSION_PUBLISH,
                subject=global_id("Workflow", drawn.pk),
                title="May we?",
            )
    with scope.tenant(tenant.id, actor=actor):
        for number in range(rows):
            document = drawing(f"{tag} change {number}")
            save_draft(
                actor=actor, workflow_id=drawn.pk, expected_revision=number + 1, document=document
            )
            commit_version(actor=actor, workflow_id=drawn.pk, message=f"number {number}")
            run = start_run(actor=actor, workflow_id=drawn.pk)
            asked(run, message=f"{tag} {number}")
    return {"id": global_id("Workflow", drawn.pk), "run": global_id("Execution", run.pk)}


def asked(run: Run, *, message: str) -> None:
    """A step of the run waits for a person's word."""
    Question.objects.create(
        run_id=run.pk,
        workflow_id=run.workflow_id,
        path="step",
        attempt=1,
        kind=QuestionKind.DOUBT,
        code="STEP_TIMEOUT",
        message=message,
    )


def statements(program: Caller, query: str, ids: dict[str, str]) -> list[str]:
    """What the operation itself sent to the database."""
    with CaptureQueriesContext(connection) as captured:
        answer = program.run(query, **{k: v for k, v in ids.items() if f"${k}:" in query})
    assert not answer.get("errors"), answer["errors"]
    sent = [one["sql"] for one in captured.captured_queries if not one["sql"].startswith(DOOR)]
    return [one for one in sent if not authenticates(one)]


def authenticates(sql: str) -> bool:
    """Whether a statement belongs to the door."""
    # The key with its member, and the note of its use.
    is_key = "tenancy_key_2" in sql or '"tenancy_apikey"' in sql
    return is_key or "api_points_per_hour" in sql
