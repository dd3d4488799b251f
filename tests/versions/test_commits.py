"""Committing, snapshots, deployment, and which version a run takes."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.db import IntegrityError, transaction

from apps.kit.errors import Forbidden, NotFound, Refusal
from apps.tenancy import scope
from apps.tenancy.actors import Actor, Role
from apps.tenancy.models import AuditRow, EnvironmentKind
from apps.versions import actions, comparison
from apps.versions.errors import NotDeployed, NothingToCommit, VersionConflict, VersionInvalid
from apps.versions.events import VersionCommitted, VersionDeployed
from apps.versions.models import Deployment, WorkflowVersion
from apps.workflows import actions as workflows
from apps.workflows.errors import WorkflowIsArchived
from apps.workflows.graph import canonical, difference
from apps.workflows.graph.document import parse
from apps.workflows.invalid import GraphInvalid
from apps.workflows.models import Workflow
from tests.factories import tenancy as make
from tests.factories.tenancy import Tenant
from tests.factories.workflow_nodes import training
from tests.factories.workflows import Heard, anybody, written


@pytest.fixture
def inside(acme: Tenant) -> Iterator[Tenant]:
    """Acme, with its scope and a transaction open."""
    with scope.tenant(acme.id, actor=acme.owner):
        yield acme


@pytest.fixture
def drawn(inside: Tenant) -> Workflow:
    """A valid workflow."""
    return workflows.create_workflow(actor=inside.owner, document=training())


def patched(tenant: Tenant, drawn: Workflow, path: str, value: object) -> Workflow:
    revision = Workflow.objects.get(pk=drawn.pk).draft_revision
    return workflows.save_draft(
        actor=tenant.owner,
        workflow_id=drawn.pk,
        expected_revision=revision,
        patch_operations=[{"op": "add", "path": path, "value": value}],
    )


def commit(tenant: Tenant, drawn: Workflow, version: str | None = None) -> WorkflowVersion:
    return actions.commit_version(
        actor=tenant.owner, workflow_id=drawn.pk, message="Why.", version=version
    )


def test_the_first_commit_adds_everything_and_is_1_0_0(
    inside: Tenant, drawn: Workflow, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard = Heard(monkeypatch, VersionCommitted)
    frozen = commit(inside, drawn)
    assert (frozen.version, frozen.branch, frozen.parent) == ("1.0.0", "main", None)
    assert [one["nodeId"] for one in frozen.changes["added"]] == ["rows", "fit", "tell"]
    assert frozen.full_hash == canonical.full_hash(parse(training()))
    assert frozen.content_hash == canonical.content_hash(parse(training()))
    assert Workflow.objects.get(pk=drawn.pk).version == "1.0.0"
    assert [event.version for event in heard.events] == ["1.0.0"]
    assert AuditRow.objects.filter(action="version.commit").count() == 1


@pytest.mark.parametrize(
    ("path", "value", "number"),
    [
        ("/nodes/0/position", {"x": 1, "y": 1}, "1.0.1"),
        ("/nodes/1/configuration/trees", 11, "1.1.0"),
        ("/configuration/parameters/-", {"name": "b", "required": True}, "2.0.0"),
    ],
)
def test_the_change_decides_the_number(
    inside: Tenant, drawn: Workflow, path: str, value: object, number: str
) -> None:
    first = commit(inside, drawn)
    patched(inside, drawn, path, value)
    second = commit(inside, drawn)
    assert (second.version, second.parent) == (number, first)


def test_a_number_may_be_given_when_it_is_above_the_latest(inside: Tenant, drawn: Workflow) -> None:
    assert commit(inside, drawn, "2.0.0-beta.1").version == "2.0.0-beta.1"
    patched(inside, drawn, "/nodes/0/notes", "a")
    assert commit(inside, drawn, "2.0.0").version == "2.0.0"


@pytest.mark.parametrize("number", ["1.0.0", "0.9.0", "1.0.0-rc.1", "1.0.0+build"])
def test_a_taken_or_lower_number_is_refused_with_a_better_one(
    inside: Tenant, drawn: Workflow, number: str
) -> None:
    commit(inside, drawn)
    patched(inside, drawn, "/nodes/1/configuration/trees", 11)
    before = written()
    with pytest.raises(VersionConflict) as caught:
        commit(inside, drawn, number)
    assert (caught.value.latest, caught.value.suggested) == ("1.0.0", "1.1.0")
    assert written() == before


def test_what_cannot_be_committed_is_refused_and_nothing_written(
    inside: Tenant, drawn: Workflow
) -> None:
    commit(inside, drawn)
    before = written()
    with pytest.raises(NothingToCommit, match=r"since version 1\.0\.0"):
        commit(inside, drawn)
    patched(inside, drawn, "/nodes/0/notes", "x")
    with pytest.raises(VersionInvalid):
        commit(inside, drawn, "first")
    after_save = written()
    for given in ({"message": " "}, {"message": "x" * 2_001}, {"branch": "other"}):
        with pytest.raises(Refusal):
            actions.commit_version(
                actor=inside.owner, workflow_id=drawn.pk, **{"message": "m", **given}
            )
    patched(inside, drawn, "/connections", [])
    with pytest.raises(GraphInvalid) as caught:
        commit(inside, drawn)
    assert {issue.code for issue in caught.value.issues} >= {"INPUT_MISSING"}
    with pytest.raises(NotFound):
        actions.commit_version(actor=inside.owner, workflow_id=anybody(), message="m")
    assert written()["versions"] == before["versions"] == after_save["versions"]
    workflows.archive_workflow(actor=inside.owner, workflow_id=drawn.pk)
    with pytest.raises(WorkflowIsArchived):
        commit(inside, drawn)


def test_the_same_key_commits_once(inside: Tenant, drawn: Workflow) -> None:
    both = [
        actions.commit_version(
            actor=inside.owner, workflow_id=drawn.pk, message="m", idempotency_key="k"
        )
        for _ in range(2)
    ]
    assert both[0].pk == both[1].pk


def test_a_version_never_changes(inside: Tenant, drawn: Workflow) -> None:
    frozen = commit(inside, drawn)
    row = WorkflowVersion.objects.filter(pk=frozen.pk)
    with pytest.raises(IntegrityError, match="append-only"), transaction.atomic():
        row.update(message="other")
    with pytest.raises(IntegrityError, match="append-only"), transaction.atomic():
        row.delete()


def test_the_same_draft_is_the_same_snapshot(inside: Tenant, drawn: Workflow) -> None:
    first = actions.snapshot_draft(actor=inside.owner, workflow_id=drawn.pk)
    again = actions.snapshot_draft(actor=inside.owner, workflow_id=drawn.pk)
    assert first == again
    assert (first.version, first.label) == (None, first.full_hash[7:19])
    patched(inside, drawn, "/nodes/1/configuration/trees", 11)
    assert actions.snapshot_draft(actor=inside.owner, workflow_id=drawn.pk) != first
    assert WorkflowVersion.objects.numbered().count() == 0


def test_a_draft_with_errors_is_no_snapshot(inside: Tenant, drawn: Workflow) -> None:
    patched(inside, drawn, "/connections", [])
    before = written()
    with pytest.raises(GraphInvalid):
        actions.snapshot_draft(actor=inside.owner, workflow_id=drawn.pk)
    assert written() == before


def test_a_run_takes_the_draft_in_development_and_what_stands_elsewhere(
    inside: Tenant, drawn: Workflow, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard = Heard(monkeypatch, VersionDeployed)

    def chosen(environment: EnvironmentKind, version: str | None = None) -> WorkflowVersion:
        return actions.version_to_run(
            actor=inside.owner, workflow_id=drawn.pk, environment=environment, version=version
        )

    frozen = commit(inside, drawn)
    patched(inside, drawn, "/nodes/1/configuration/trees", 11)
    assert chosen(EnvironmentKind.DEVELOPMENT).version is None
    assert chosen(EnvironmentKind.DEVELOPMENT, "1.0.0") == frozen
    with pytest.raises(NotDeployed, match="production"):
        chosen(EnvironmentKind.PRODUCTION)
    actions.deploy_version(
        actor=inside.owner, version_id=frozen.pk, environment=EnvironmentKind.PRODUCTION
    )
    assert chosen(EnvironmentKind.PRODUCTION) == frozen
    assert len(heard.events) == 1
    with pytest.raises(NotFound):
        chosen(EnvironmentKind.PRODUCTION, "9.9.9")


def test_a_deployment_supersedes_the_one_before(inside: Tenant, drawn: Workflow) -> None:
    environment = inside.environments["PRODUCTION"].pk
    first = commit(inside, drawn)
    patched(inside, drawn, "/nodes/1/configuration/trees", 11)
    second = commit(inside, drawn)

    def deploy(version: WorkflowVersion) -> Deployment:
        return actions.deploy_version(
            actor=inside.owner, version_id=version.pk, environment=environment
        )

    assert deploy(first) == deploy(first)
    deploy(second)
    assert [one.version for one in Deployment.objects.standing()] == [second]
    assert Deployment.objects.count() == 2
    row = Workflow.objects.get(pk=drawn.pk)
    assert (row.status, row.version) == ("PUBLISHED", "1.1.0")


def test_only_commits_are_deployed_and_only_here(inside: Tenant, drawn: Workflow) -> None:
    snapshot = actions.snapshot_draft(actor=inside.owner, workflow_id=drawn.pk)
    frozen = commit(inside, drawn)
    with pytest.raises(Refusal, match="committed"):
        actions.deploy_version(
            actor=inside.owner, version_id=snapshot.pk, environment=EnvironmentKind.STAGING
        )
    for version_id, environment in ((anybody(), EnvironmentKind.STAGING), (frozen.pk, anybody())):
        with pytest.raises(NotFound):
            actions.deploy_version(
                actor=inside.owner, version_id=version_id, environment=environment
            )
    assert Deployment.objects.count() == 0


def test_a_restored_workflow_is_what_it_was_in_production(inside: Tenant, drawn: Workflow) -> None:
    frozen = commit(inside, drawn)
    actions.deploy_version(
        actor=inside.owner, version_id=frozen.pk, environment=EnvironmentKind.PRODUCTION
    )
    workflows.archive_workflow(actor=inside.owner, workflow_id=drawn.pk)
    restored = workflows.restore_workflow(actor=inside.owner, workflow_id=drawn.pk)
    assert (restored.status, restored.version) == ("PUBLISHED", "1.0.0")
    assert Workflow.objects.get(pk=drawn.pk).status == "PUBLISHED"


def test_staging_is_not_production(inside: Tenant, drawn: Workflow) -> None:
    frozen = commit(inside, drawn)
    actions.deploy_version(
        actor=inside.owner, version_id=frozen.pk, environment=EnvironmentKind.STAGING
    )
    assert Workflow.objects.get(pk=drawn.pk).status == "DRAFT"


def test_a_version_becomes_the_draft_again(inside: Tenant, drawn: Workflow) -> None:
    commit(inside, drawn)
    patched(inside, drawn, "/nodes/1/configuration/trees", 11)
    restored = actions.restore_draft(
        actor=inside.owner, workflow_id=drawn.pk, version="1.0.0", expected_revision=2
    )
    assert restored.draft_document["nodes"][1]["configuration"]["trees"] == 10
    with pytest.raises(NotFound):
        actions.restore_draft(
            actor=inside.owner, workflow_id=drawn.pk, version="3.0.0", expected_revision=3
        )


def test_roles_stand_before_every_write(inside: Tenant, drawn: Workflow, viewer: Actor) -> None:
    operator = make.member_of(inside.organization, role=Role.OPERATOR)
    frozen = commit(inside, drawn)
    before = written()
    with pytest.raises(Forbidden):
        actions.snapshot_draft(actor=viewer, workflow_id=drawn.pk)
    for actor in (viewer, operator):
        with pytest.raises(Forbidden):
            actions.commit_version(actor=actor, workflow_id=drawn.pk, message="m")
        with pytest.raises(Forbidden):
            actions.deploy_version(
                actor=actor, version_id=frozen.pk, environment=EnvironmentKind.STAGING
            )
    assert written() == before


def test_differences_read_as_a_sentence() -> None:
    document = training()
    other = {
        **document,
        "description": "new",
        "nodes": [
            {**document["nodes"][0], "position": {"x": 9, "y": 9}},
            document["nodes"][1],
            {"id": "new", "type": "test.book"},
        ],
        "connections": document["connections"][:1],
        "configuration": {"parameters": [{"name": "other"}]},
    }

    def said(one: object, two: object) -> str:
        return comparison.summary(difference.compare(parse(one), parse(two)))

    assert said(document, other) == (
        "1 node added; 1 node changed; 1 node removed; 1 connection redrawn; "
        "parameters: target, other; settings: description"
    )
    moved = {**document, "nodes": [other["nodes"][0], *document["nodes"][1:]]}
    assert said(document, moved) == "1 node changed (same behavior)"
    assert said(document, document) == "nothing changed"
    turned = {**document, "nodes": document["nodes"][::-1]}
    assert said(document, turned) == "another order"
