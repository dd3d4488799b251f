"""Who may see what was used, and who may change a plan."""

from __future__ import annotations

from apps.tenancy.actors import Actor, Permission


def can_read_usage(actor: Actor) -> bool:
    """The ledger and its sums."""
    return actor.has(Permission.BILLING_READ)


def can_change_plan(actor: Actor) -> bool:
    """The platform itself and its staff, until an organization can pay for a plan."""
    return actor.user_id is None or actor.is_staff
