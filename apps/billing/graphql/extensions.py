"""What billing knows of an organization."""

from __future__ import annotations

import strawberry

from apps.billing.graphql.types import PlanInfo
from apps.billing.plans import plan_of
from apps.kit.graphql.extend import extend
from apps.tenancy.graphql.types import Tenant
from apps.tenancy.models import Organization


def plan(root: strawberry.Parent[Organization]) -> PlanInfo:
    """The plan that sets the organization's limits."""
    return PlanInfo.of(plan_of(root.plan_key))


extend(Tenant, "plan", plan, description="The plan that sets the organization's limits.")
