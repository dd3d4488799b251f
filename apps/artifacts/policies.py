"""Who may read stored objects."""

from __future__ import annotations

from apps.tenancy.actors import Actor, Permission


def can_download(actor: Actor) -> bool:
    """Whoever may see runs may have what they made."""
    return actor.has(Permission.WORKFLOWS_READ)
