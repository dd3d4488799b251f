"""How many statements each screen's query costs: a baseline, and the same for few rows as for many.

The figure is of statements inside the operation's own transaction; finding out who asks and paying
are counted apart, because every call pays them alike.
"""

from __future__ import annotations

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from apps.executions.actions import start_run
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
from tests.graphql.calls import Caller, caller
from tests.graphql.populated import drawing

pytestmark = pytest.mark.django_db

MANY = 6
# Authentication, the savepoints around it, and the note of the key's last use.
DOOR = ("SAVEPOINT", "RELEASE SAVEPOINT", "SELECT set_config")

SCREENS: dict[str, tuple[str, int]] = {
    "workflow list": (
        "{ workflows(first: 50) { totalCount { value } nodes { id name type status version"
        " metadata { created modified author { displayName } tags } } pageInfo { endCursor } } }",
        3,
    ),
    "workflow with its runs": (
        "query($id: ID!) { workflow(id: $id) { id name draft { revision definition"
        " validation { status issues { code message } } updatedBy { displayName } }"
        " executions(first: 20) { nodes { id status startedAt durationMs trigger environment"
        " version workflow { name } } } versions(first: 20) { nodes { id version"
        " commit { hash message author { displayName } } deployment { environments } } } } }",
        5,
    ),
    "run": (
        "query($run: ID!) { execution(id: $run) { id status version environment trigger"
        " startedAt finishedAt durationMs parameters result error { code message }"
        " workflow { id name } nodeRuns(first: 100) { nodes { nodeId path attempt status"
        " outputPreview error { code } cost { formatted } } }"
        " logs(first: 100) { nodes { seq at level nodeId message } } } }",
        5,
    ),
    "marketplace search": (
        '{ searchWorkflows(query: "public", first: 20) { totalCount { value } didYouMean'
        " nodes { id slug name tagline version downloads rating category tags"
        " author { handle name verification { level } } pricing { model } license { spdxId }"
        " securityScan { verdict score } } facets { name buckets { value count } } } }",
        11,
    ),
    "members and keys": (
        "{ viewer { displayName email } tenant { slug name plan { key name limits }"
        " members { role joinedAt user { id displayName email } } environments { name kind }"
        " usage { metric used limit } } }",
        5,
    ),
    "audit log": (
        "{ auditLog(first: 50) { nodes { at actor action target ip before after hash }"
        " pageInfo { endCursor hasNextPage } } }",
        1,
    ),
    "vault": (
        "{ secrets(environment: DEVELOPMENT) { name version updatedAt updatedBy { displayName }"
        " usedBy { name } } variables(environment: DEVELOPMENT)"
        " connections(environment: DEVELOPMENT) { id name connectorType } }",
        8,
    ),
    "installations": (
        "{ installations(first: 20) { nodes { id version environment status"
        " listing { name slug } workflow { id name } installedBy { displayName }"
        " availableUpdate { version } } } }",
        7,
    ),
    "approvals": (
        "{ approvals(first: 20) { nodes { id kind status stage createdAt"
        " requestedBy { displayName } stages { name required decisions { approve"
        " by { displayName } } } } } }",
        2,
    ),
    "designer palette": ("{ nodeTypes { type title category configSchema } }", 0),
}


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
    return {"id": global_id("Workflow", drawn.pk), "run": global_id("Execution", run.pk)}


def statements(program: Caller, query: str, ids: dict[str, str]) -> list[str]:
    """What the operation itself sent to the database."""
    with CaptureQueriesContext(connection) as captured:
        answer = program.run(query, **{k: v for k, v in ids.items() if f"${k}:" in query})
    assert not answer.get("errors"), answer["errors"]
    sent = [one["sql"] for one in captured.captured_queries if not one["sql"].startswith(DOOR)]
    return [one for one in sent if not authenticates(one)]


def authenticates(sql: str) -> bool:
    """Whether a statement belongs to the door."""
    is_key = '"tenancy_apikey"' in sql
    is_role = "tenancy_membership" in sql and "LIMIT 1" in sql
    return is_key or is_role or "api_points_per_hour" in sql


def test_a_screen_costs_the_same_for_many_rows(acme: make.Tenant) -> None:
    program = caller(acme)
    ids = fill(acme, "few", 1)
    few = {name: statements(program, query, ids) for name, (query, _) in SCREENS.items()}
    ids = fill(acme, "many", MANY)
    many = {name: statements(program, query, ids) for name, (query, _) in SCREENS.items()}

    costs = {name: (len(few[name]), len(many[name])) for name in SCREENS}
    growing = {name: cost for name, cost in costs.items() if cost[1] > cost[0]}
    assert growing == {}, "an N+1: more rows, more statements"
    assert {name: cost[1] for name, cost in costs.items()} == {
        name: baseline for name, (_, baseline) in SCREENS.items()
    }
