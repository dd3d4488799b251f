"""Members: offered a place, taking it, changing roles, leaving."""

from __future__ import annotations

import datetime as dt
import uuid

from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db.models import Q

from apps.kit import events
from apps.kit.clock import now
from apps.kit.errors import AlreadyExists, Forbidden, NotFound, Refusal
from apps.tenancy import audit, limits, policies, scope
from apps.tenancy.actors import Actor, Role
from apps.tenancy.errors import LastOwner
from apps.tenancy.events import MemberInvited, MemberJoined, MemberRemoved
from apps.tenancy.models import ApiKey, Invitation, Membership, Organization, User
from apps.tenancy.tokens import InvitationText, new_secret, parse_invitation

OPEN_FOR = dt.timedelta(days=7)


def invite_member(*, actor: Actor, email: str, role: str) -> Invitation:
    """Offer a place. Inviting the same address again replaces the open invitation and its link."""
    wanted = _role(role)
    policies.require(policies.can_invite_member(actor, wanted), "invite members")
    address = _address(email)
    with scope.transaction():
        if Membership.objects.filter(user__email=address).exists():
            raise AlreadyExists("This person is a member already.", path=("email",))
        Invitation.objects.filter(email=address, accepted_at=None).delete()
        token = InvitationText(tenant_id=scope.current_tenant_id(), secret=new_secret())
        invitation = Invitation.objects.create(
            email=address,
            role=wanted.value,
            token_digest=token.digest(),
            invited_by_id=actor.user_id,
            expires_at=now() + OPEN_FOR,
        )
        audit.record(
            actor=actor,
            action="member.invite",
            target=f"Invitation:{invitation.pk}",
            after={"email": address, "role": wanted.value},
        )
        events.publish(
            MemberInvited(
                tenant_id=token.tenant_id,
                invitation_id=invitation.pk,
                email=address,
                organization=Organization.objects.get().name,
                invited_by=actor.name,
                token=str(token),
            )
        )
    return invitation


def accept_invitation(*, user: User, token: str, ip: str | None = None) -> Membership:
    """Take the place an invitation offers; enters its tenant's scope, which the token names."""
    found = parse_invitation(token)
    if found is None:
        raise _no_invitation()
    with scope.tenant(found.tenant_id):
        invitation = (
            Invitation.objects.select_for_update()
            .order_by("pk")
            .filter(token_digest=found.digest(), accepted_at=None, expires_at__gt=now())
            .first()
        )
        if invitation is None:
            raise _no_invitation()
        if invitation.email != user.email.lower():
            raise Forbidden(
                "This invitation was sent to another address. Sign in with that one, or ask for "
                "an invitation to yours."
            )
        role = Role(invitation.role)
        membership, joined = Membership.objects.get_or_create(
            user=user, defaults={"role": role.value}
        )
        invitation.accepted_at = now()
        invitation.save(update_fields=["accepted_at"])
        if joined:
            actor = Actor.member(
                tenant_id=found.tenant_id,
                user_id=user.pk,
                role=role,
                name=user.display_name,
                ip=ip,
            )
            audit.record(
                actor=actor,
                action="member.join",
                target=f"User:{user.pk}",
                after={"role": role.value},
            )
            events.publish(MemberJoined(tenant_id=found.tenant_id, user_id=user.pk))
            limits.require(limits.Metric.MEMBERS)
    return membership


def change_member_role(*, actor: Actor, user_id: uuid.UUID, role: str) -> Membership:
    """Give a member another role. Only an owner makes owners, or makes an owner less."""
    wanted = _role(role)
    with scope.transaction():
        membership = _locked(user_id)
        held = Role(membership.role)
        policies.require(
            policies.can_manage_members(actor) and policies.can_invite_member(actor, wanted),
            "change roles",
        )
        policies.require(held is not Role.OWNER or actor.role is Role.OWNER, "change an owner")
        if held is Role.OWNER and wanted is not Role.OWNER:
            _keep_an_owner(user_id)
        membership.role = wanted.value
        membership.save(update_fields=["role"])
        audit.record(
            actor=actor,
            action="member.change_role",
            target=f"User:{user_id}",
            before={"role": held.value},
            after={"role": wanted.value},
        )
    return membership


def remove_member(*, actor: Actor, user_id: uuid.UUID) -> None:
    """End a membership; everybody may leave. The person's keys die in the same transaction."""
    with scope.transaction():
        membership = _locked(user_id)
        held = Role(membership.role)
        leaving = actor.user_id == user_id and actor.api_key_id is None
        policies.require(leaving or policies.can_manage_members(actor), "remove members")
        policies.require(
            leaving or held is not Role.OWNER or actor.role is Role.OWNER, "remove an owner"
        )
        if held is Role.OWNER:
            _keep_an_owner(user_id)
        revoked = ApiKey.objects.filter(user_id=user_id, revoked_at=None).update(revoked_at=now())
        membership.delete()
        audit.record(
            actor=actor,
            action="member.remove",
            target=f"User:{user_id}",
            before={"role": held.value, "keysRevoked": revoked},
        )
        events.publish(MemberRemoved(tenant_id=scope.current_tenant_id(), user_id=user_id))
        limits.release(limits.Metric.MEMBERS)
        if revoked:
            limits.release(limits.Metric.API_KEYS, revoked)


def _locked(user_id: uuid.UUID) -> Membership:
    # All owners are locked too, so that two of them cannot leave at the same moment.
    locked = Membership.objects.select_for_update().order_by("pk")
    wanted = Q(role=Role.OWNER.value) | Q(user_id=user_id)
    found = {membership.user_id: membership for membership in locked.filter(wanted)}
    if user_id not in found:
        raise NotFound.of("member", path=("userId",))
    membership: Membership = found[user_id]
    return membership


def _keep_an_owner(leaving: uuid.UUID) -> None:
    if not Membership.objects.filter(role=Role.OWNER.value).exclude(user_id=leaving).exists():
        raise LastOwner


def _role(text: str) -> Role:
    try:
        return Role(text.lower())
    except ValueError:
        names = ", ".join(role.value for role in Role)
        raise Refusal(f"There is no such role. Use one of {names}.", path=("role",)) from None


def _address(email: str) -> str:
    address = email.strip().lower()
    try:
        validate_email(address)
    except ValidationError as error:
        raise Refusal("Write a complete e-mail address.", path=("email",)) from error
    return address


def _no_invitation() -> NotFound:
    return NotFound(
        "This invitation is not open: it was used, replaced, or is older than seven days. "
        "Ask for a new one."
    )
