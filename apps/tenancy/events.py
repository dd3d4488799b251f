"""What tenancy says aloud."""

from __future__ import annotations

import uuid
from dataclasses import dataclass

from apps.kit.events import Event


@dataclass(frozen=True, kw_only=True)
class OrganizationCreated(Event):
    """An organization exists; its limits are not set yet (billing sets them from the plan)."""

    tenant_id: uuid.UUID
    plan_key: str


@dataclass(frozen=True, kw_only=True)
class MemberInvited(Event):
    """A place was offered. `token` is the secret of the link and is kept nowhere."""

    tenant_id: uuid.UUID
    invitation_id: uuid.UUID
    email: str
    organization: str
    invited_by: str
    token: str


@dataclass(frozen=True, kw_only=True)
class MemberJoined(Event):
    """Somebody has a place in the organization."""

    tenant_id: uuid.UUID
    user_id: uuid.UUID


@dataclass(frozen=True, kw_only=True)
class MemberRemoved(Event):
    """Somebody lost the place; the keys are dead already."""

    tenant_id: uuid.UUID
    user_id: uuid.UUID
