"""What billing does when an organization is founded."""

from __future__ import annotations

from apps.billing.actions import apply_plan
from apps.kit.events import on
from apps.tenancy.events import OrganizationCreated


@on(OrganizationCreated)
def limit_new_organization(event: OrganizationCreated) -> None:
    """In the founding transaction: an organization without limits could do nothing at all."""
    apply_plan(plan_key=event.plan_key)
