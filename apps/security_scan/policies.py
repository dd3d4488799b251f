"""Who may have a document scanned and who may read what was found."""

from __future__ import annotations

from apps.security_scan.models import Scan
from apps.tenancy.actors import Actor, Permission


def can_request_scan(actor: Actor) -> bool:
    """Whoever may publish or version a workflow may have it judged; staff may repeat a scan."""
    return actor.is_staff or (
        actor.has(Permission.MARKETPLACE_PUBLISH) or actor.has(Permission.VERSIONS_WRITE)
    )


def can_read_scan(actor: Actor, scan: Scan) -> bool:
    """Members of the organization that owns the document, and staff."""
    return actor.is_staff or (
        scan.tenant_id == actor.tenant_id and actor.has(Permission.WORKFLOWS_READ)
    )
