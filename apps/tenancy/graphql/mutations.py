"""Writes of tenancy: each calls one action."""

from __future__ import annotations

import datetime as dt

import strawberry

from apps.kit.graphql.mutations import mutation
from apps.kit.graphql.nodes import key_of
from apps.tenancy import actions
from apps.tenancy.actors import Permission
from apps.tenancy.graphql.context import Info
from apps.tenancy.graphql.types import ApiKey, ApiKeyPayload, SimplePayload


@strawberry.type
class Mutation:
    """Members and keys."""

    @mutation()
    def create_api_key(
        self, info: Info, name: str, scopes: list[str], expires_at: dt.datetime | None = None
    ) -> ApiKeyPayload | None:
        """Create a key for programs; its text is in this answer and nowhere else."""
        issued = actions.create_api_key(
            actor=info.context.actor, name=name, scopes=scopes, expires_at=expires_at
        )
        return ApiKeyPayload(api_key=ApiKey.of(issued.row), secret=issued.text)

    @mutation()
    def revoke_api_key(self, info: Info, id: strawberry.ID) -> SimplePayload | None:
        """Kill a key at once."""
        key = key_of(id, "ApiKey", noun="API key")
        actions.revoke_api_key(actor=info.context.actor, key_id=key)
        return SimplePayload(ok=True)

    @mutation(requires=Permission.TENANT_ADMIN)
    def invite_member(self, info: Info, email: str, role: str) -> SimplePayload | None:
        """Offer somebody a place; a link is sent to the address."""
        actions.invite_member(actor=info.context.actor, email=email, role=role)
        return SimplePayload(ok=True)

    @mutation(requires=Permission.TENANT_ADMIN)
    def change_member_role(
        self, info: Info, user_id: strawberry.ID, role: str
    ) -> SimplePayload | None:
        """Give a member another role."""
        key = key_of(user_id, "User", noun="member", path=("userId",))
        actions.change_member_role(actor=info.context.actor, user_id=key, role=role)
        return SimplePayload(ok=True)

    @mutation(requires=Permission.TENANT_ADMIN)
    def remove_member(self, info: Info, user_id: strawberry.ID) -> SimplePayload | None:
        """End a membership; the person's keys die at once."""
        key = key_of(user_id, "User", noun="member", path=("userId",))
        actions.remove_member(actor=info.context.actor, user_id=key)
        return SimplePayload(ok=True)
