"""Who may do what with workflows: the only home of these permissions."""

from __future__ import annotations

from apps.tenancy.actors import Actor, Permission
from apps.workflows.models import Workflow


def can_read_workflows(actor: Actor) -> bool:
    """See workflows, drafts and the catalogue."""
    return actor.has(Permission.WORKFLOWS_READ)


def can_write_workflows(actor: Actor) -> bool:
    """Draw, save, clone, archive and restore."""
    return actor.has(Permission.WORKFLOWS_WRITE)


def verbs(actor: Actor, workflow: Workflow) -> list[str]:
    """What the actor may do with this workflow, as the API's `viewerCan`."""
    living = workflow.archived_at is None
    allowed = {
        "view": can_read_workflows(actor),
        "edit": living and can_write_workflows(actor),
        "clone": can_write_workflows(actor),
        "archive": living and can_write_workflows(actor),
        "restore": not living and can_write_workflows(actor),
        "run": living and actor.has(Permission.WORKFLOWS_RUN),
        "commit": living and actor.has(Permission.VERSIONS_WRITE),
        "publish": living and actor.has(Permission.MARKETPLACE_PUBLISH),
    }
    return [verb for verb, may in allowed.items() if may]
