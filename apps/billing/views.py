"""What an organization used of its plan, and the ledger behind it."""

from __future__ import annotations

from django.http import HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from apps.billing import policies
from apps.billing.models import UsageEntry
from apps.billing.periods import period_at
from apps.billing.plans import plan_of
from apps.kit.clock import now
from apps.kit.html.paging import pager, window_of
from apps.kit.pages import paginate
from apps.tenancy import limits, scope
from apps.tenancy.doors import TenantRequest, tenant_page
from apps.tenancy.limits import CEILINGS
from apps.tenancy.policies import require


@require_safe
@tenant_page
def usage(request: TenantRequest) -> HttpResponse:
    """Meters of the plan, the month's sums, and one line for each finished run."""
    require(policies.can_read_usage(request.actor), "see what was used")
    period = period_at(now())
    with scope.transaction():
        page = paginate(
            UsageEntry.objects.select_related("environment"),
            order=("-finished_at", "-id"),
            window=window_of(request),
            key="usage",
        )
        allowances = limits.allowances()
        context = {
            "plan": plan_of(request.organization.plan_key),
            "meters": [one for one in allowances if one.metric not in CEILINGS],
            "ceilings": [one for one in allowances if one.metric in CEILINGS],
            "totals": UsageEntry.objects.in_period(period).totals(),
            "period": period,
            "page": pager(page),
        }
        return render(request, "billing/usage.html", context)
