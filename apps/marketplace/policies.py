"""Who may publish, install and withdraw: the only home of the marketplace's permissions."""

from __future__ import annotations

from apps.marketplace.models import Listing, Release
from apps.tenancy.actors import Actor, Permission


def can_publish(actor: Actor) -> bool:
    """Hand in releases in the organization's name."""
    return actor.tenant_id is not None and actor.has(Permission.MARKETPLACE_PUBLISH)


def can_install(actor: Actor) -> bool:
    """Bring a release into the organization's environments."""
    return actor.tenant_id is not None and actor.has(Permission.MARKETPLACE_INSTALL)


def can_yank(actor: Actor, release: Release) -> bool:
    """The publisher its own; staff any."""
    return actor.is_staff or (release.tenant_id == actor.tenant_id and can_publish(actor))


def owns(actor: Actor, listing: Listing) -> bool:
    """Whether the actor's organization is the publisher."""
    return listing.tenant_id == actor.tenant_id
