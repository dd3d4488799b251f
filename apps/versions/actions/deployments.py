"""Putting versions into environments, and which version a run takes when none is named."""

from __future__ import annotations

import uuid

from apps.kit import events
from apps.kit.clock import now
from apps.kit.errors import NotFound, Refusal
from apps.tenancy import audit, scope
from apps.tenancy.actors import Actor
from apps.tenancy.models import Environment, EnvironmentKind
from apps.tenancy.policies import require
from apps.versions import policies
from apps.versions.actions import commits
from apps.versions.errors import NotDeployed
from apps.versions.events import VersionDeployed
from apps.versions.models import Deployment, WorkflowVersion
from apps.workflows import actions as workflows


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
    environment: EnvironmentKind | uuid.UUID,
    version: str | None = None,
) -> WorkflowVersion:
    """The named version; else in development the draft as a snapshot, elsewhere what stands there.

    Raises NotFound, NotDeployed, GraphInvalid or WorkflowIsArchived.
    """
    with scope.transaction():
        place = environment_of(environment)
        if version is None and place.kind == EnvironmentKind.DEVELOPMENT:
            return commits.snapshot_draft(actor=actor, workflow_id=workflow_id)
        workflow = workflows.living(workflow_id)
        if version is not None:
            return commits.numbered(workflow.pk, version)
        standing: Deployment | None = (
            Deployment.objects.standing()
            .filter(workflow=workflow, environment=place)
            .select_related("version")
            .first()
        )
        if standing is None:
            raise NotDeployed(environment=place.name)
        return standing.version


def environment_of(named: EnvironmentKind | uuid.UUID) -> Environment:
    """An environment by id, or the organization's default of a kind."""
    chosen = {"pk": named} if isinstance(named, uuid.UUID) else {"kind": named, "is_default": True}
    place = Environment.objects.filter(**chosen).first()
    if place is None:
        raise NotFound.of("environment", path=("environment",))
    return place
