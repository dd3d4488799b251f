"""What versions does when workflows have spoken, and what it tells the apps below."""

from __future__ import annotations

from apps.artifacts.roots import register_root
from apps.kit.events import on
from apps.tenancy.models import EnvironmentKind
from apps.versions.models import Deployment
from apps.versions.store import artifacts_in_versions
from apps.workflows.actions import mark_deployed
from apps.workflows.events import WorkflowRestored

register_root("versions", artifacts_in_versions)


@on(WorkflowRestored)
def publish_again(event: WorkflowRestored) -> None:
    """What stood in production when the workflow was archived stands there still."""
    standing = Deployment.objects.standing().filter(workflow_id=event.workflow_id)
    in_production = standing.filter(
        environment__kind=EnvironmentKind.PRODUCTION, environment__is_default=True
    )
    deployment: Deployment | None = in_production.select_related("version").first()
    if deployment is not None:
        mark_deployed(workflow_id=event.workflow_id, version=deployment.version.label)
