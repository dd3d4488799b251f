"""Every write of workflows: create, save, clone, archive, restore, and what versions reports."""

from __future__ import annotations

import base64
import uuid
from collections.abc import Mapping
from typing import Any

from apps.kit import events
from apps.kit.clock import now
from apps.kit.errors import NotFound, Refusal, StaleRevision
from apps.tenancy import audit, scope
from apps.tenancy.actors import Actor
from apps.tenancy.idempotency import remembered
from apps.tenancy.limits import Metric, release
from apps.tenancy.limits import require as take
from apps.tenancy.policies import require
from apps.workflows import policies
from apps.workflows.errors import WorkflowIsArchived
from apps.workflows.events import (
    DraftSaved,
    WorkflowArchived,
    WorkflowCreated,
    WorkflowDeployed,
    WorkflowRestored,
)
from apps.workflows.graph import canonical, catalogue, patch
from apps.workflows.graph.document import Claims, Document, parse_with_claims, to_json
from apps.workflows.graph.issues import DocumentInvalid, Issue
from apps.workflows.graph.normal import normalize
from apps.workflows.graph.validate import require as require_valid
from apps.workflows.invalid import refusing
from apps.workflows.models import Workflow, WorkflowStatus

COPY = " (copy)"


def create_workflow(
    *, actor: Actor, document: object, idempotency_key: str | None = None
) -> Workflow:
    """A new workflow from a whole document, which must be free of errors."""
    require(policies.can_write_workflows(actor), "create workflows")
    with refusing():
        drawn, _ = _read(document)
        require_valid(drawn, catalogue.INSTALLED)
    with scope.transaction():
        request = {"document": canonical.full_hash(drawn)}
        with remembered(operation="createWorkflow", key=idempotency_key, request=request) as memory:
            if memory.result_id is not None:
                return found(memory.result_id)
            workflow = _add(actor, drawn, action="workflow.create")
            memory.remember(workflow.pk)
        return workflow


def save_draft(
    *,
    actor: Actor,
    workflow_id: uuid.UUID,
    expected_revision: int,
    document: object = None,
    patch_operations: object = None,
) -> Workflow:
    """Save the whole draft or a JSON Patch of it; unfinished work may have errors.

    Raises StaleRevision when somebody saved in between: nothing is overwritten.
    """
    require(policies.can_write_workflows(actor), "change workflows")
    if (document is None) == (patch_operations is None):
        raise Refusal("Give the whole `document` or a `patch`, one of the two.", path=("document",))
    with scope.transaction():
        workflow = _locked(workflow_id)
        _refuse_archived(workflow)
        if workflow.draft_revision != expected_revision:
            raise StaleRevision(
                expected=expected_revision,
                current=workflow.draft_revision,
                path=("expectedRevision",),
            )
        with refusing(path=("document",) if patch_operations is None else ()):
            if patch_operations is not None:
                document = patch.apply(workflow.draft_document, patch_operations)
            drawn, claims = _read(document)
            _refuse_claims(claims, workflow)
        return _save(actor, workflow, drawn)


def clone_workflow(*, actor: Actor, workflow_id: uuid.UUID, name: str | None = None) -> Workflow:
    """A new workflow with a copy of the draft; an archived one can be cloned too."""
    require(policies.can_write_workflows(actor), "clone workflows")
    with scope.transaction():
        original = found(workflow_id)
        copied = name or original.name[: 200 - len(COPY)] + COPY
        with refusing(path=("name",)):
            drawn, _ = _read({**original.draft_document, "name": copied})
        return _add(actor, drawn, action="workflow.clone", source=original)


def archive_workflow(*, actor: Actor, workflow_id: uuid.UUID) -> Workflow:
    """Put it away: it keeps its versions and history and starts no more runs. Repeatable."""
    require(policies.can_write_workflows(actor), "archive workflows")
    with scope.transaction():
        workflow = _locked(workflow_id)
        if workflow.archived_at is not None:
            return workflow
        before = workflow.status
        workflow.status, workflow.archived_at = WorkflowStatus.ARCHIVED.value, now()
        _record(actor, workflow, "workflow.archive", before={"status": before})
        events.publish(
            WorkflowArchived(tenant_id=scope.current_tenant_id(), workflow_id=workflow.pk)
        )
        release(Metric.WORKFLOWS)
        return workflow


def restore_workflow(*, actor: Actor, workflow_id: uuid.UUID) -> Workflow:
    """Take it out of the archive, as what it was: a draft, or published. Repeatable."""
    require(policies.can_write_workflows(actor), "restore workflows")
    with scope.transaction():
        workflow = _locked(workflow_id)
        if workflow.archived_at is None:
            return workflow
        workflow.status, workflow.archived_at = WorkflowStatus.DRAFT.value, None
        _record(actor, workflow, "workflow.restore")
        events.publish(
            WorkflowRestored(tenant_id=scope.current_tenant_id(), workflow_id=workflow.pk)
        )
        take(Metric.WORKFLOWS)
        # Versions may have answered that one of them stands in production still.
        workflow.refresh_from_db(fields=["status", "version"])
        return workflow


def mark_head(*, workflow_id: uuid.UUID, version: str) -> Workflow:
    """Versions reports: main has a new head. What stands in production keeps its number."""
    with scope.transaction():
        workflow = _locked(workflow_id)
        if workflow.status != WorkflowStatus.PUBLISHED:
            workflow.version, workflow.modified_at = version, now()
            workflow.save(update_fields=["version", "modified_at"])
        return workflow


def mark_deployed(*, workflow_id: uuid.UUID, version: str) -> Workflow:
    """Versions reports: this version stands in production."""
    with scope.transaction():
        workflow = _locked(workflow_id)
        _refuse_archived(workflow)
        workflow.status, workflow.version = WorkflowStatus.PUBLISHED.value, version
        workflow.modified_at = now()
        workflow.save(update_fields=["status", "version", "modified_at"])
        events.publish(
            WorkflowDeployed(
                tenant_id=scope.current_tenant_id(), workflow_id=workflow.pk, version=version
            )
        )
        return workflow


def found(workflow_id: uuid.UUID) -> Workflow:
    """The workflow of this id in the scope; NotFound for a foreign id as for a random one."""
    workflow: Workflow | None = Workflow.objects.with_people().filter(pk=workflow_id).first()
    if workflow is None:
        raise NotFound.of("workflow", path=("workflowId",))
    return workflow


def living(workflow_id: uuid.UUID) -> Workflow:
    """The workflow of this id, its draft left out, unless it is archived (WorkflowIsArchived)."""
    rows = Workflow.objects.without_draft()
    workflow: Workflow | None = rows.filter(pk=workflow_id).first()
    if workflow is None:
        raise NotFound.of("workflow", path=("workflowId",))
    _refuse_archived(workflow)
    return workflow


def lock(workflow_id: uuid.UUID) -> Workflow:
    """The living workflow of this id, locked until the transaction ends."""
    workflow = _locked(workflow_id)
    _refuse_archived(workflow)
    return workflow


def _locked(workflow_id: uuid.UUID) -> Workflow:
    workflow: Workflow | None = (
        Workflow.objects.select_for_update().order_by("pk").filter(pk=workflow_id).first()
    )
    if workflow is None:
        raise NotFound.of("workflow", path=("workflowId",))
    return workflow


def _refuse_archived(workflow: Workflow) -> None:
    if workflow.archived_at is not None:
        raise WorkflowIsArchived


def _read(document: object) -> tuple[Document, Claims]:
    drawn, claims = parse_with_claims(document)
    return normalize(drawn, catalogue.INSTALLED), claims


def _add(actor: Actor, drawn: Document, *, action: str, source: Workflow | None = None) -> Workflow:
    workflow = Workflow(
        author_id=actor.user_id,
        **_shown(drawn),
        draft_updated_by_id=actor.user_id,
    )
    workflow.save(force_insert=True)
    after = {"name": drawn.name, "hash": workflow.draft_hash}
    if source is not None:
        after["source"] = f"Workflow:{source.pk}"
    audit.record(actor=actor, action=action, target=f"Workflow:{workflow.pk}", after=after)
    events.publish(WorkflowCreated(tenant_id=scope.current_tenant_id(), workflow_id=workflow.pk))
    take(Metric.WORKFLOWS)
    return workflow


def _save(actor: Actor, workflow: Workflow, drawn: Document) -> Workflow:
    before = {"revision": workflow.draft_revision, "hash": workflow.draft_hash}
    for name, value in _shown(drawn).items():
        setattr(workflow, name, value)
    workflow.draft_revision += 1
    workflow.draft_updated_by_id = actor.user_id
    workflow.draft_updated_at = workflow.modified_at = now()
    workflow.save()
    after = {"revision": workflow.draft_revision, "hash": workflow.draft_hash}
    target = f"Workflow:{workflow.pk}"
    audit.record(actor=actor, action="workflow.save", target=target, before=before, after=after)
    events.publish(
        DraftSaved(
            tenant_id=scope.current_tenant_id(),
            workflow_id=workflow.pk,
            revision=workflow.draft_revision,
        )
    )
    return workflow


def _shown(drawn: Document) -> dict[str, Any]:
    return {
        "name": drawn.name,
        "type": drawn.type.value,
        "description": drawn.description,
        "draft_document": to_json(drawn),
        "draft_hash": canonical.full_hash(drawn),
    }


def _record(
    actor: Actor, workflow: Workflow, action: str, *, before: Mapping[str, Any] | None = None
) -> None:
    workflow.modified_at = now()
    workflow.save(update_fields=["status", "archived_at", "modified_at"])
    audit.record(actor=actor, action=action, target=f"Workflow:{workflow.pk}", before=before)


def _refuse_claims(claims: Claims, workflow: Workflow) -> None:
    """Read-only fields that came along must say what is so; they set nothing."""
    key = str(workflow.pk)
    true = {
        "id": (key, base64.b64encode(f"Workflow:{key}".encode()).decode()),
        "version": (workflow.version,),
        "status": (workflow.status,),
    }
    claimed = {
        "id": claims.id,
        "version": claims.version,
        "status": claims.status and claims.status.upper(),
    }
    issues = [
        Issue(
            code="READ_ONLY_DIFFERS",
            message=f"`{name}` is read-only and is not `{value}`. Leave it out.",
            path=(name,),
        )
        for name, value in claimed.items()
        if value is not None and value not in true[name]
    ]
    if issues:
        raise DocumentInvalid(issues)
