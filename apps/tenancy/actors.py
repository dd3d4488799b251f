"""Who acts: roles, the permissions they imply, and the frozen actor every action receives."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, replace
from enum import StrEnum


class Permission(StrEnum):
    """What may be done; the same words are the scopes of an API key."""

    WORKFLOWS_READ = "workflows:read"
    WORKFLOWS_WRITE = "workflows:write"
    WORKFLOWS_RUN = "workflows:run"
    VERSIONS_WRITE = "versions:write"
    APPROVALS_DECIDE = "approvals:decide"
    MARKETPLACE_PUBLISH = "marketplace:publish"
    MARKETPLACE_INSTALL = "marketplace:install"
    SECRETS_READ = "secrets:read"
    SECRETS_WRITE = "secrets:write"
    VARIABLES_WRITE = "variables:write"
    CONNECTIONS_WRITE = "connections:write"
    TENANT_ADMIN = "tenant:admin"
    AUDIT_READ = "audit:read"
    BILLING_READ = "billing:read"
    PLATFORM_ADMIN = "platform:admin"


class Role(StrEnum):
    """A member's role in one organization."""

    OWNER = "owner"
    ADMIN = "admin"
    EDITOR = "editor"
    OPERATOR = "operator"
    VIEWER = "viewer"


_VIEWER = frozenset({Permission.WORKFLOWS_READ})
_OPERATOR = _VIEWER | {Permission.WORKFLOWS_RUN, Permission.APPROVALS_DECIDE}
_EDITOR = _OPERATOR | {
    Permission.WORKFLOWS_WRITE,
    Permission.VERSIONS_WRITE,
    Permission.VARIABLES_WRITE,
    Permission.SECRETS_READ,
    Permission.MARKETPLACE_INSTALL,
}
_ADMIN = _EDITOR | {
    Permission.MARKETPLACE_PUBLISH,
    Permission.SECRETS_WRITE,
    Permission.CONNECTIONS_WRITE,
    Permission.TENANT_ADMIN,
    Permission.AUDIT_READ,
    Permission.BILLING_READ,
}

ROLE_PERMISSIONS: dict[Role, frozenset[Permission]] = {
    Role.OWNER: _ADMIN,
    Role.ADMIN: _ADMIN,
    Role.EDITOR: _EDITOR,
    Role.OPERATOR: _OPERATOR,
    Role.VIEWER: _VIEWER,
}


@dataclass(frozen=True, kw_only=True)
class Actor:
    """A person, a key or the platform itself, in one organization.

    `permissions` is what holds: the role's, or the key's subset of them.
    """

    tenant_id: uuid.UUID | None
    name: str
    user_id: uuid.UUID | None = None
    role: Role | None = None
    permissions: frozenset[Permission] = frozenset()
    api_key_id: uuid.UUID | None = None
    is_staff: bool = False
    ip: str | None = None

    def has(self, permission: Permission) -> bool:
        """Whether this actor holds the permission here and now."""
        return permission in self.permissions

    @classmethod
    def member(
        cls,
        *,
        tenant_id: uuid.UUID,
        user_id: uuid.UUID,
        role: Role,
        name: str,
        ip: str | None = None,
    ) -> Actor:
        """A signed-in person with the permissions of the role."""
        return cls(
            tenant_id=tenant_id,
            user_id=user_id,
            role=role,
            permissions=ROLE_PERMISSIONS[role],
            name=name,
            ip=ip,
        )

    @classmethod
    def system(cls, tenant_id: uuid.UUID | None, name: str) -> Actor:
        """The platform acting for a tenant (engine, job, command), as its owner might."""
        return cls(tenant_id=tenant_id, name=name, permissions=ROLE_PERMISSIONS[Role.OWNER])

    @classmethod
    def staff(cls, *, user_id: uuid.UUID, name: str, ip: str | None = None) -> Actor:
        """Platform staff in the platform scope, outside any organization."""
        return cls(
            tenant_id=None,
            user_id=user_id,
            name=name,
            permissions=frozenset({Permission.PLATFORM_ADMIN, Permission.APPROVALS_DECIDE}),
            is_staff=True,
            ip=ip,
        )

    def narrowed(self, scopes: frozenset[Permission], *, api_key_id: uuid.UUID) -> Actor:
        """The same actor through an API key: never more than the person behind it."""
        return replace(self, permissions=self.permissions & scopes, api_key_id=api_key_id)
