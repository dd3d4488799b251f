"""Putting versions into environments, and which version a run takes when none is named."""

from __future__ import annotations

import uuid
from typing import Final

from apps.kit import events
from apps.kit.clock import now
from apps.kit.errors import NotFound, Refusal
from apps.tenancy import audit, scope
from apps.tenancy.actors import Actor
from apps.tenancy.frozen import Frozen
from apps.tenancy.models import Environment, EnvironmentKind
from apps.tenancy.policies import require
from apps.versions import policies
from apps.versions.actions import commits
from apps.versions.errors import NotDeployed
from apps.versions.events import VersionDeployed
from apps.versions.models import Deployment, WorkflowVersion
from apps.workflows import actions as workflows

_PLACE: Frozen[Environment] = Frozen(
    lambda pk: Environment.objects.filter(pk=pk).order_by(), pk=uuid.UUID
)
_DEFAULT_PLACE: Frozen[Environment] = Frozen(
    lambda kind: Environment.objects.filter(kind=kind, is_default=True).order_by(), kind=str
)
# In the order of the model's columns.
_HEADING: Final = ("id", "tenant_id", "workflow_id", "version", "full_hash")
_STANDING: Frozen[Deployment] = Frozen(
    lambda workflow, environment: (
        Deployment.objects.standing()
        .filter(
            workflow_id=workflow, environment_id=environment, workflow__archived_at__isnull=True
        )
        .order_by()
        .values_list(*(f"version__{name}" for name in _HEADING))
    ),
    workflow=uuid.UUID,
    environment=uuid.UUID,
)


def deploy_version(
    *, actor: Actor, version_id: uuid.UUID, environment: EnvironmentKind | uuid.UUID
) -> Deployment:
    """Let a committed version stand in an environment in place of the one before. Repeatable."""
    require(policies.can_deploy_version(actor), "deploy versions")
    with scope.transaction():
        version = commits.found(version_id)
        if version.version is None:
            raise Refusal("Only a committed version can be deployed.", path=("versionId",))
        workflow = workflows.lock(version.workflow_id)
        place = environment_of(environment)
        standing = Deployment.objects.standing().filter(workflow=workflow, environment=place)
        before: Deployment | None = standing.select_for_update().order_by("pk").first()
        if before is not None and before.version_id == version.pk:
            return before
        standing.update(superseded_at=now())
        deployment: Deployment = Deployment.objects.create(
            workflow=workflow,
            environment=place,
            version=version,
            deployed_by_id=actor.user_id,
        )
        if place.kind == EnvironmentKind.PRODUCTION and place.is_default:
            workflows.mark_deployed(workflow_id=workflow.pk, version=version.version)
        audit.record(
            actor=actor,
            action="version.deploy",
            target=f"WorkflowVersion:{version.pk}",
            after={"environment": place.name, "version": version.version},
        )
        events.publish(
            VersionDeployed(
                tenant_id=scope.current_tenant_id(),
                workflow_id=workflow.pk,
                version_id=version.pk,
                environment_id=place.pk,
            )
        )
        return deployment


def version_to_run(
    *,
    actor: Actor,
    workflow_id: uuid.UUID,
    environment: EnvironmentKind | uuid.UUID | Environment,
    version: str | None = None,
) -> WorkflowVersion:
    """The named version; else in development the draft as a snapshot, elsewhere what stands there.

    What stands comes without its document: whoever has compiled it before needs no megabyte.
    Raises NotFound, NotDeployed, GraphInvalid or WorkflowIsArchived.
    """
    with scope.reading():
        place = environment_of(environment)
        if version is None and place.kind == EnvironmentKind.DEVELOPMENT:
            return commits.snapshot_draft(actor=actor, workflow_id=workflow_id)
        standing = _standing(workflow_id, place) if version is None else None
        if standing is not None:
            return standing
        workflow = workflows.living(workflow_id)
        if version is None:
            raise NotDeployed(environment=place.name)
        return commits.numbered(workflow.pk, version)


def _standing(workflow_id: uuid.UUID, environment: Environment) -> WorkflowVersion | None:
    """What stands there of a living workflow."""
    rows = _STANDING.rows(workflow=workflow_id, environment=environment.pk)
    return next((WorkflowVersion.from_db("default", _HEADING, row) for row in rows), None)


def environment_of(named: EnvironmentKind | uuid.UUID | Environment) -> Environment:
    """An environment by id, or the organization's default of a kind."""
    if isinstance(named, Environment):
        return named
    place = (
        _PLACE.first(pk=named)
        if isinstance(named, uuid.UUID)
        else _DEFAULT_PLACE.first(kind=str(named))
    )
    if place is None:
        raise NotFound.of("environment", path=("environment",))
    return place
