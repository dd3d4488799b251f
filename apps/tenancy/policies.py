"""Who may do what in an organization: the only home of tenancy's permissions."""

from __future__ import annotations

from apps.kit.errors import Forbidden
from apps.tenancy.actors import Actor, Permission, Role


def require(allowed: bool, what: str) -> None:  # noqa: FBT001 - reads as a sentence at every call
    """Raise Forbidden unless `allowed`. `what` completes "You may not …"."""
    if not allowed:
        raise Forbidden(
            f"You may not {what} with this role or key. Ask an owner or admin of the organization."
        )


def can_invite_member(actor: Actor, role: Role) -> bool:
    """Admins invite; only an owner makes another owner."""
    return actor.has(Permission.TENANT_ADMIN) and (
        role is not Role.OWNER or actor.role is Role.OWNER
    )


def can_manage_members(actor: Actor) -> bool:
    """Change roles, remove members."""
    return actor.has(Permission.TENANT_ADMIN)


def can_create_api_key(actor: Actor, scopes: frozenset[Permission]) -> bool:
    """A person makes keys for what the person may do; a key makes no keys."""
    return actor.user_id is not None and actor.api_key_id is None and scopes <= actor.permissions


def can_revoke_api_key(actor: Actor, *, owner_id: object) -> bool:
    """One's own; admins anybody's."""
    return actor.user_id == owner_id or actor.has(Permission.TENANT_ADMIN)


def can_read_audit_log(actor: Actor) -> bool:
    """Whoever may see what everybody did."""
    return actor.has(Permission.AUDIT_READ)
