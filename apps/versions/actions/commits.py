"""Freezing drafts: numbered commits on main, and unnumbered snapshots for development runs."""

from __future__ import annotations

import uuid

from apps.kit import events
from apps.kit.errors import NotFound, Refusal
from apps.tenancy import audit, scope
from apps.tenancy.actors import Actor
from apps.tenancy.idempotency import remembered
from apps.tenancy.policies import require
from apps.versions import comparison, policies
from apps.versions.calls import require_callees
from apps.versions.errors import NothingToCommit, VersionConflict, VersionInvalid
from apps.versions.events import VersionCommitted
from apps.versions.models import MAIN, WorkflowVersion
from apps.versions.semver import FIRST, NotSemVer, SemVer
from apps.workflows import actions as workflows
from apps.workflows.graph import canonical, catalogue, difference
from apps.workflows.graph.difference import Bump, Changes
from apps.workflows.graph.document import Document, to_json
from apps.workflows.graph.validate import require as require_valid
from apps.workflows.invalid import refusing
from apps.workflows.models import Workflow

MAX_MESSAGE = 2_000


def commit_version(
    *,
    actor: Actor,
    workflow_id: uuid.UUID,
    message: str,
    version: str | None = None,
    branch: str = MAIN,
    idempotency_key: str | None = None,
) -> WorkflowVersion:
    """Freeze the draft under a semantic version; without one, the change decides the bump.

    Raises GraphInvalid for a draft with errors, VersionConflict for a number not above the latest,
    NothingToCommit when the draft is the head.
    """
    require(policies.can_commit_version(actor), "commit versions")
    _check(message, branch)
    with scope.transaction():
        request = {"workflow": workflow_id, "message": message, "version": version}
        with remembered(operation="commitVersion", key=idempotency_key, request=request) as memory:
            if memory.result_id is not None:
                return found(memory.result_id)
            frozen = _commit(actor, workflow_id, message, version)
            memory.remember(frozen.pk)
        return frozen


def snapshot_draft(*, actor: Actor, workflow_id: uuid.UUID) -> WorkflowVersion:
    """The draft, frozen without a number for a development run; the same draft, the same row."""
    require(policies.can_snapshot_draft(actor), "run workflows")
    with scope.transaction():
        present = _snapshot_of(workflows.living(workflow_id))
        if present is not None:
            return present
        workflow = workflows.lock(workflow_id)
        document = _runnable(workflow)
        present = _snapshot_of(workflow)
        if present is not None:
            return present
        frozen = _frozen(actor, workflow, document, parent=_head(workflow.pk))
        frozen.save(force_insert=True)
        return frozen


def _snapshot_of(workflow: Workflow) -> WorkflowVersion | None:
    present: WorkflowVersion | None = (
        WorkflowVersion.objects.of(workflow.pk)
        .filter(version=None, full_hash=workflow.draft_hash)
        .first()
    )
    return present


def restore_draft(
    *, actor: Actor, workflow_id: uuid.UUID, version: str, expected_revision: int
) -> Workflow:
    """Make a version the draft again; what the draft was stays in the versions, if committed."""
    with scope.transaction():
        frozen = numbered(workflow_id, version)
        return workflows.save_draft(
            actor=actor,
            workflow_id=workflow_id,
            expected_revision=expected_revision,
            document=frozen.document,
        )


def restore_version(
    *, actor: Actor, workflow_id: uuid.UUID, version: str | None = None
) -> Workflow:
    """Take a workflow out of the archive; with a version, that becomes the draft as well."""
    with scope.transaction():
        workflow = workflows.restore_workflow(actor=actor, workflow_id=workflow_id)
        if version is None:
            return workflow
        return restore_draft(
            actor=actor,
            workflow_id=workflow_id,
            version=version,
            expected_revision=workflow.draft_revision,
        )


def found(version_id: uuid.UUID) -> WorkflowVersion:
    """The version of this id in the scope."""
    frozen: WorkflowVersion | None = (
        WorkflowVersion.objects.with_author().filter(pk=version_id).first()
    )
    if frozen is None:
        raise NotFound.of("version", path=("versionId",))
    return frozen


def numbered(workflow_id: uuid.UUID, version: str) -> WorkflowVersion:
    """The commit of this number."""
    frozen: WorkflowVersion | None = (
        WorkflowVersion.objects.of(workflow_id).filter(version=version).first()
    )
    if frozen is None:
        raise NotFound(
            "This workflow has no version of that number. Look at its versions for one.",
            path=("version",),
        )
    return frozen


def _check(message: str, branch: str) -> None:
    if not 1 <= len(message.strip()) <= MAX_MESSAGE:
        raise Refusal(
            f"Say in 1 to {MAX_MESSAGE} characters what this version changes.", path=("message",)
        )
    if branch != MAIN:
        raise NotFound(f"There is no branch of that name. Commit to `{MAIN}`.", path=("branch",))


def _commit(
    actor: Actor, workflow_id: uuid.UUID, message: str, version: str | None
) -> WorkflowVersion:
    workflow = workflows.lock(workflow_id)
    document = _runnable(workflow)
    head = _head(workflow.pk)
    changes = difference.compare(head.graph, document) if head is not None else None
    if head is not None and head.full_hash == workflow.draft_hash:
        raise NothingToCommit(latest=head.label)
    frozen = _frozen(actor, workflow, document, parent=head)
    frozen.version = str(_number(head, changes, version))
    frozen.message = message.strip()
    frozen.changes = comparison.to_json(changes or _beginning(document))
    frozen.save(force_insert=True)
    workflows.mark_head(workflow_id=workflow.pk, version=frozen.version)
    audit.record(
        actor=actor,
        action="version.commit",
        target=f"WorkflowVersion:{frozen.pk}",
        after={"version": frozen.version, "hash": frozen.full_hash},
    )
    events.publish(
        VersionCommitted(
            tenant_id=scope.current_tenant_id(),
            workflow_id=workflow.pk,
            version_id=frozen.pk,
            version=frozen.version,
        )
    )
    return frozen


def _runnable(workflow: Workflow) -> Document:
    document = workflow.document
    with refusing(path=()):
        require_valid(document, catalogue.INSTALLED)
        require_callees(document)
    return document


def _head(workflow_id: uuid.UUID) -> WorkflowVersion | None:
    """The newest commit on main; only higher numbers follow, so it is the latest as well."""
    head: WorkflowVersion | None = (
        WorkflowVersion.objects.of(workflow_id).numbered().filter(branch=MAIN).first()
    )
    return head


def _frozen(
    actor: Actor, workflow: Workflow, document: Document, *, parent: WorkflowVersion | None
) -> WorkflowVersion:
    return WorkflowVersion(
        workflow=workflow,
        parent=parent,
        document=to_json(document),
        content_hash=canonical.content_hash(document),
        full_hash=workflow.draft_hash,
        author_id=actor.user_id,
    )


def _beginning(document: Document) -> Changes:
    """The first commit adds everything."""
    nothing = Document(name=document.name, type=document.type)
    return difference.compare(nothing, document)


def _number(head: WorkflowVersion | None, changes: Changes | None, wanted: str | None) -> SemVer:
    latest = SemVer.parse(head.version) if head is not None and head.version else None
    suggested = latest.bumped(changes.bump if changes else Bump.PATCH) if latest else FIRST
    if wanted is None:
        return suggested
    try:
        number = SemVer.parse(wanted)
    except NotSemVer:
        raise VersionInvalid from None
    if latest is not None and not number > latest:
        raise VersionConflict(wanted=str(number), latest=str(latest), suggested=str(suggested))
    return number
