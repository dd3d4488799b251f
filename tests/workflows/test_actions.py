"""Creating, saving, cloning and archiving; every refusal leaves nothing behind."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from apps.kit.errors import (
    Forbidden,
    IdempotencyMismatch,
    NotFound,
    QuotaExceeded,
    Refusal,
    StaleRevision,
)
from apps.tenancy import scope
from apps.tenancy.actors import Actor
from apps.tenancy.limits import Metric, allowance, set_limits
from apps.tenancy.models import AuditRow
from apps.workflows import actions, policies
from apps.workflows.errors import WorkflowIsArchived
from apps.workflows.events import (
    DraftSaved,
    WorkflowArchived,
    WorkflowCreated,
    WorkflowDeployed,
    WorkflowRestored,
)
from apps.workflows.graph.document import to_json
from apps.workflows.invalid import GraphInvalid
from apps.workflows.models import Workflow
from tests.factories.tenancy import Tenant
from tests.factories.workflow_nodes import training
from tests.factories.workflows import Heard, anybody, workflow, written


@pytest.fixture
def inside(acme: Tenant) -> Iterator[Tenant]:
    """Acme, with its scope and a transaction open."""
    with scope.tenant(acme.id, actor=acme.owner):
        yield acme


def broken(**changed: Any) -> dict[str, Any]:
    return {**training(), **changed}


CYCLE = broken(
    nodes=[{"id": "a", "type": "test.merge"}, {"id": "b", "type": "test.merge"}],
    connections=[{"source": "a", "target": "b"}, {"source": "b", "target": "a"}],
)
BAD_DOCUMENTS = {
    "NODE_TYPE_UNKNOWN": broken(nodes=[{"id": "a", "type": "no.such"}], connections=[]),
    "INPUT_MISSING": broken(connections=[]),
    "CYCLE": CYCLE,
    "DOCUMENT_TOO_LARGE": broken(description="x" * 2**20),
    "UNKNOWN_FIELD": broken(bogus=1),
    "CONFIGURATION_WRONG_TYPE": broken(
        nodes=[
            *training()["nodes"][:1],
            {**training()["nodes"][1], "configuration": {"target": 3}},
        ],
        connections=training()["connections"][:1],
    ),
}


def test_a_workflow_shows_what_its_draft_says(
    inside: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard = Heard(monkeypatch, WorkflowCreated)
    made = actions.create_workflow(actor=inside.owner, document=training())
    assert (made.name, made.type, made.status, made.draft_revision) == (
        "Training",
        "ml",
        "DRAFT",
        1,
    )
    assert made.author_id == made.draft_updated_by_id == inside.owner.user_id
    assert to_json(Workflow.objects.get(pk=made.pk).document) == made.draft_document
    assert [event.workflow_id for event in heard.events] == [made.pk]
    audited = AuditRow.objects.get(action="workflow.create")
    assert audited.target == f"Workflow:{made.pk}"
    assert allowance(Metric.WORKFLOWS).used == 1


def test_the_draft_is_kept_in_normal_form(inside: Tenant) -> None:
    short = broken(connections=[], nodes=[{"type": "test.source"}, {"type": "test.book"}])
    made = actions.create_workflow(actor=inside.owner, document=short)
    (connection,) = made.draft_document["connections"]
    assert connection == {
        "id": "c1",
        "source": "source",
        "sourcePort": "table",
        "target": "book",
        "targetPort": "value",
    }


@pytest.mark.parametrize("code", BAD_DOCUMENTS)
def test_a_bad_document_is_refused_by_name_and_nothing_is_written(
    inside: Tenant, code: str
) -> None:
    before = written()
    with pytest.raises(GraphInvalid) as caught:
        actions.create_workflow(actor=inside.owner, document=BAD_DOCUMENTS[code])
    assert code in {issue.code for issue in caught.value.issues}
    assert caught.value.path[0] == "document"
    assert written() == before


def test_a_viewer_draws_nothing(inside: Tenant, viewer: Actor) -> None:
    made = actions.create_workflow(actor=inside.owner, document=training())
    before = written()
    attempts: tuple[Callable[[], object], ...] = (
        lambda: actions.create_workflow(actor=viewer, document=training()),
        lambda: actions.save_draft(
            actor=viewer, workflow_id=made.pk, expected_revision=1, document=training()
        ),
        lambda: actions.clone_workflow(actor=viewer, workflow_id=made.pk),
        lambda: actions.archive_workflow(actor=viewer, workflow_id=made.pk),
        lambda: actions.restore_workflow(actor=viewer, workflow_id=made.pk),
    )
    for attempt in attempts:
        with pytest.raises(Forbidden, match="You may not"):
            attempt()
    assert written() == before


def test_over_quota_nothing_is_written(inside: Tenant) -> None:
    set_limits({Metric.WORKFLOWS: 0})
    before = written()
    with pytest.raises(QuotaExceeded) as caught:
        actions.create_workflow(actor=inside.owner, document=training())
    assert caught.value.metric == Metric.WORKFLOWS
    assert written() == before


def test_the_same_key_gives_the_same_workflow_another_document_a_refusal(inside: Tenant) -> None:
    first = actions.create_workflow(actor=inside.owner, document=training(), idempotency_key="k")
    again = actions.create_workflow(actor=inside.owner, document=training(), idempotency_key="k")
    assert first.pk == again.pk
    with pytest.raises(IdempotencyMismatch):
        actions.create_workflow(
            actor=inside.owner, document=broken(name="other"), idempotency_key="k"
        )
    assert Workflow.objects.count() == 1


def test_a_save_counts_the_revision_and_tells(
    inside: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = actions.create_workflow(actor=inside.owner, document=training())
    heard = Heard(monkeypatch, DraftSaved)
    saved = actions.save_draft(
        actor=inside.owner, workflow_id=made.pk, expected_revision=1, document=broken(name="New")
    )
    assert (saved.name, saved.draft_revision) == ("New", 2)
    assert Workflow.objects.get(pk=made.pk).draft_document["name"] == "New"
    assert [event.revision for event in heard.events] == [2]
    audited = AuditRow.objects.get(action="workflow.save")
    assert audited.before is not None
    assert audited.before["revision"] == 1


def test_unfinished_work_can_be_saved(inside: Tenant) -> None:
    made = actions.create_workflow(actor=inside.owner, document=training())
    saved = actions.save_draft(
        actor=inside.owner, workflow_id=made.pk, expected_revision=1, document=CYCLE
    )
    assert saved.draft_revision == 2


def test_a_patch_changes_what_it_names(inside: Tenant) -> None:
    made = actions.create_workflow(actor=inside.owner, document=training())
    saved = actions.save_draft(
        actor=inside.owner,
        workflow_id=made.pk,
        expected_revision=1,
        patch_operations=[{"op": "replace", "path": "/nodes/1/configuration/trees", "value": 7}],
    )
    assert saved.draft_document["nodes"][1]["configuration"]["trees"] == 7


def test_a_stale_save_overwrites_nothing(inside: Tenant) -> None:
    made = actions.create_workflow(actor=inside.owner, document=training())
    actions.save_draft(
        actor=inside.owner, workflow_id=made.pk, expected_revision=1, document=broken(name="Mine")
    )
    before = written()
    with pytest.raises(StaleRevision) as caught:
        actions.save_draft(
            actor=inside.owner, workflow_id=made.pk, expected_revision=1, document=broken(name="B")
        )
    assert (caught.value.expected, caught.value.current) == (1, 2)
    assert Workflow.objects.get(pk=made.pk).name == "Mine"
    assert written() == before


@pytest.mark.parametrize(
    ("given", "refusal", "path"),
    [
        ({}, Refusal, "document"),
        ({"document": training(), "patch_operations": []}, Refusal, "document"),
        ({"document": broken(bogus=1)}, GraphInvalid, "document"),
        ({"document": broken(status="ARCHIVED")}, GraphInvalid, "document"),
        ({"document": broken(version="9.9.9")}, GraphInvalid, "document"),
        ({"document": broken(id="00000000-0000-0000-0000-000000000000")}, GraphInvalid, "document"),
        ({"patch_operations": [{"op": "remove", "path": "/gone"}]}, GraphInvalid, "patch"),
        (
            {"patch_operations": [{"op": "add", "path": "/bogus", "value": 1}]},
            GraphInvalid,
            "bogus",
        ),
    ],
)
def test_what_cannot_be_saved_is_refused(
    inside: Tenant, given: dict[str, Any], refusal: type[Refusal], path: str
) -> None:
    made = actions.create_workflow(actor=inside.owner, document=training())
    before = written()
    with pytest.raises(refusal) as caught:
        actions.save_draft(actor=inside.owner, workflow_id=made.pk, expected_revision=1, **given)
    assert caught.value.path[0] == path
    assert written() == before
    assert Workflow.objects.get(pk=made.pk).draft_revision == 1


def test_read_only_fields_that_are_true_come_back_unharmed(inside: Tenant) -> None:
    made = actions.create_workflow(actor=inside.owner, document=training())
    echo = broken(id=str(made.pk), status="draft", version="", metadata={"author": {"id": "x"}})
    saved = actions.save_draft(
        actor=inside.owner, workflow_id=made.pk, expected_revision=1, document=echo
    )
    assert saved.draft_revision == 2


def test_a_clone_is_a_workflow_of_its_own(inside: Tenant) -> None:
    made = actions.create_workflow(actor=inside.owner, document=training())
    clone = actions.clone_workflow(actor=inside.owner, workflow_id=made.pk)
    named = actions.clone_workflow(actor=inside.owner, workflow_id=made.pk, name="Second")
    assert (clone.name, named.name) == ("Training (copy)", "Second")
    assert clone.draft_document["nodes"] == made.draft_document["nodes"]
    assert allowance(Metric.WORKFLOWS).used == 3
    with pytest.raises(GraphInvalid):
        actions.clone_workflow(actor=inside.owner, workflow_id=made.pk, name="x" * 201)


def test_an_archived_workflow_rests_until_it_is_restored(
    inside: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone, back = Heard(monkeypatch, WorkflowArchived), Heard(monkeypatch, WorkflowRestored)
    made = actions.create_workflow(actor=inside.owner, document=training())
    for _ in range(2):
        archived = actions.archive_workflow(actor=inside.owner, workflow_id=made.pk)
    assert (archived.status, len(gone.events)) == ("ARCHIVED", 1)
    assert allowance(Metric.WORKFLOWS).used == 0
    attempts: tuple[Callable[[], object], ...] = (
        lambda: actions.living(made.pk),
        lambda: actions.lock(made.pk),
        lambda: actions.mark_deployed(workflow_id=made.pk, version="1.0.0"),
        lambda: actions.save_draft(
            actor=inside.owner, workflow_id=made.pk, expected_revision=1, document=training()
        ),
    )
    for attempt in attempts:
        with pytest.raises(WorkflowIsArchived):
            attempt()
    for _ in range(2):
        restored = actions.restore_workflow(actor=inside.owner, workflow_id=made.pk)
    assert (restored.status, len(back.events)) == ("DRAFT", 1)
    assert allowance(Metric.WORKFLOWS).used == 1
    assert actions.living(made.pk) == made


def test_what_stands_in_production_keeps_its_number(
    inside: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard = Heard(monkeypatch, WorkflowDeployed)
    made = actions.create_workflow(actor=inside.owner, document=training())
    assert actions.mark_head(workflow_id=made.pk, version="1.0.0").version == "1.0.0"
    deployed = actions.mark_deployed(workflow_id=made.pk, version="1.0.0")
    assert (deployed.status, deployed.version) == ("PUBLISHED", "1.0.0")
    assert actions.mark_head(workflow_id=made.pk, version="1.1.0").version == "1.0.0"
    assert [event.version for event in heard.events] == ["1.0.0"]


def test_a_foreign_id_and_a_random_id_get_the_same_answer(acme: Tenant, globex: Tenant) -> None:
    theirs = workflow(globex)
    with scope.tenant(acme.id, actor=acme.owner):
        attempts: tuple[Callable[[uuid.UUID], object], ...] = (
            actions.found,
            lambda key: actions.clone_workflow(actor=acme.owner, workflow_id=key),
            lambda key: actions.archive_workflow(actor=acme.owner, workflow_id=key),
            lambda key: actions.save_draft(
                actor=acme.owner, workflow_id=key, expected_revision=1, document=training()
            ),
        )
        said = set()
        for key in (theirs.pk, anybody()):
            for attempt in attempts:
                with pytest.raises(NotFound) as caught:
                    attempt(key)
                said.add((caught.value.message, caught.value.path))
        assert len(said) == 1
    with scope.tenant(globex.id):
        assert actions.found(theirs.pk).draft_revision == 1


def test_lists_show_living_workflows_by_beginning_type_and_status(inside: Tenant) -> None:
    for name, kind in (("Alpha", "ml"), ("alphabet", "rag"), ("Beta", "ml")):
        actions.create_workflow(actor=inside.owner, document=broken(name=name, type=kind))
    beta = Workflow.objects.get(name="Beta")
    actions.archive_workflow(actor=inside.owner, workflow_id=beta.pk)

    def names(**asked: str) -> list[str]:
        return [row.name for row in Workflow.objects.matching(**asked).without_draft()]

    assert names() == ["alphabet", "Alpha"]
    assert names(query="ALPHA") == ["alphabet", "Alpha"]
    assert names(query="pha") == []
    assert names(type_="ml") == ["Alpha"]
    assert names(status="ARCHIVED") == ["Beta"]


def test_verbs_follow_permission_and_archive(inside: Tenant, viewer: Actor) -> None:
    made = actions.create_workflow(actor=inside.owner, document=training())
    assert policies.verbs(viewer, made) == ["view"]
    assert "edit" in policies.verbs(inside.owner, made)
    archived = actions.archive_workflow(actor=inside.owner, workflow_id=made.pk)
    assert policies.verbs(inside.owner, archived) == ["view", "clone", "restore"]
