"""Every write of tenancy, one verb each."""

from apps.tenancy.actions.keys import IssuedKey, create_api_key, revoke_api_key
from apps.tenancy.actions.members import (
    accept_invitation,
    change_member_role,
    invite_member,
    remove_member,
)
from apps.tenancy.actions.organizations import assign_plan, create_organization

__all__ = [
    "IssuedKey",
    "accept_invitation",
    "assign_plan",
    "change_member_role",
    "create_api_key",
    "create_organization",
    "invite_member",
    "remove_member",
    "revoke_api_key",
]
