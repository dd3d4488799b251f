"""Who may freeze, deploy and decide: the only home of these permissions."""

from __future__ import annotations

from apps.tenancy.actors import Actor, Permission
from apps.versions.models import Approval, ApprovalStatus


def can_commit_version(actor: Actor) -> bool:
    """Freeze a draft under a number."""
    return actor.has(Permission.VERSIONS_WRITE)


def can_snapshot_draft(actor: Actor) -> bool:
    """Freeze a draft for one development run."""
    return actor.has(Permission.WORKFLOWS_RUN)


def can_deploy_version(actor: Actor) -> bool:
    """Put a version into an environment."""
    return actor.has(Permission.VERSIONS_WRITE)


def can_see_approval(actor: Actor, approval: Approval) -> bool:
    """Members see their organization's; staff see what staff decide."""
    return (
        approval.by_platform if actor.tenant_id is None else actor.tenant_id == approval.tenant_id
    )


def can_decide_approval(actor: Actor, approval: Approval) -> bool:
    """The platform's own questions are for staff, the others for members who may decide."""
    if approval.status != ApprovalStatus.PENDING or not can_vote_at_all(actor, approval):
        return False
    return is_asked(actor, approval) and not is_own_request(actor, approval)


def can_vote_at_all(actor: Actor, approval: Approval) -> bool:
    """A person with the permission, on the side that decides."""
    if actor.user_id is None or not actor.has(Permission.APPROVALS_DECIDE):
        return False
    if approval.by_platform:
        return actor.is_staff and actor.has(Permission.PLATFORM_ADMIN)
    return actor.tenant_id == approval.tenant_id


def is_asked(actor: Actor, approval: Approval) -> bool:
    """Whether the question is for this voter: it may name people and roles."""
    users, roles = approval.audience.get("users"), approval.audience.get("roles")
    if not users and not roles:
        return True
    return str(actor.user_id) in (users or ()) or (actor.role or "") in (roles or ())


def is_own_request(actor: Actor, approval: Approval) -> bool:
    """Whether the two-person rule stands against this voter."""
    return approval.prevent_self_approval and approval.requested_by_id == actor.user_id
