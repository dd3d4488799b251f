"""What the marketplace says aloud."""

from __future__ import annotations

import uuid
from dataclasses import dataclass

from apps.kit.events import Event


@dataclass(frozen=True, kw_only=True)
class ReleaseSubmitted(Event):
    """A publisher handed in a release; its scan follows."""

    tenant_id: uuid.UUID
    listing_id: uuid.UUID
    release_id: uuid.UUID


@dataclass(frozen=True, kw_only=True)
class ReleasePublished(Event):
    """A release may be installed."""

    tenant_id: uuid.UUID
    listing_id: uuid.UUID
    release_id: uuid.UUID


@dataclass(frozen=True, kw_only=True)
class ReleaseRejected(Event):
    """A release was refused, by the scan or by a person."""

    tenant_id: uuid.UUID
    listing_id: uuid.UUID
    release_id: uuid.UUID


@dataclass(frozen=True, kw_only=True)
class WorkflowInstalled(Event):
    """A release became a workflow of another organization. `tenant_id` is the installer's."""

    tenant_id: uuid.UUID
    installation_id: uuid.UUID
    listing_id: uuid.UUID
