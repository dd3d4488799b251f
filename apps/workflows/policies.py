"""Who may do what with workflows: the only home of these permissions."""

from __future__ import annotations

from apps.tenancy.actors import Actor, Permission


def can_read_workflows(actor: Actor) -> bool:
    """See workflows, drafts and the catalogue."""
    return actor.has(Permission.WORKFLOWS_READ)


def can_write_workflows(actor: Actor) -> bool:
    """Draw, save, clone, archive and restore."""
    return actor.has(Permission.WORKFLOWS_WRITE)
