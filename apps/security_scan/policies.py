"""Who may have a document scanned. A scan is read where its row is: by its organization."""

from __future__ import annotations

from apps.tenancy.actors import Actor, Permission


def can_request_scan(actor: Actor) -> bool:
    """Whoever may publish or version a workflow may have it judged; staff may repeat a scan."""
    return actor.is_staff or (
        actor.has(Permission.MARKETPLACE_PUBLISH) or actor.has(Permission.VERSIONS_WRITE)
    )
