"""The overview of an organization and the lists of its runs."""

from __future__ import annotations

import datetime as dt
import uuid
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from django.http import HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from apps.executions import policies
from apps.executions.engine.state import RunStatus
from apps.executions.models import Run
from apps.kit.clock import now
from apps.kit.html.paging import pager, window_of
from apps.kit.html.tags import words
from apps.kit.pages import paginate
from apps.tenancy import limits, scope
from apps.tenancy.doors import TenantRequest, tenant_page
from apps.tenancy.limits import Metric
from apps.tenancy.policies import require
from apps.workflows import actions as workflows
from apps.workflows.models import Workflow

RECENT = dt.timedelta(days=7)
COUNT_LIMIT = 1000
RECENT_LIMIT = 10_000
"""Runs that the overview counts, the newest."""
_SHOWN_METRICS = (Metric.RUNS_PER_MONTH, Metric.STORAGE_BYTES, Metric.WORKFLOWS, Metric.MEMBERS)


@dataclass(frozen=True)
class Line:
    """A run as lists show it."""

    pk: uuid.UUID
    workflow_id: uuid.UUID
    workflow_name: str
    status: str
    version: str
    environment: str
    trigger: str
    created_at: dt.datetime
    duration: dt.timedelta | None


def lines_of(runs: Iterable[Run]) -> list[Line]:
    """Runs with the names of their workflows, in one more query."""
    runs = list(runs)
    ids = {run.workflow_id for run in runs}
    names = dict(Workflow.objects.filter(pk__in=ids).values_list("pk", "name"))
    present = now()
    return [
        Line(
            pk=run.pk,
            workflow_id=run.workflow_id,
            workflow_name=names.get(run.workflow_id, "a workflow that is gone"),
            status=run.state,
            version=run.version,
            environment=run.environment,
            trigger=run.trigger,
            created_at=run.created_at,
            duration=None
            if run.started_at is None
            else (run.finished_at or present) - run.started_at,
        )
        for run in runs
    ]


@require_safe
@tenant_page
def overview(request: TenantRequest) -> HttpResponse:
    """What runs, what ran, what is left of the plan."""
    require(policies.can_read_runs(request.actor), "see runs")
    with scope.transaction():
        recent, is_cut = _recent()
        succeeded = recent.get(RunStatus.SUCCEEDED, 0) + recent.get(RunStatus.PARTIAL, 0)
        failed = recent.get(RunStatus.FAILED, 0) + recent.get(RunStatus.TIMED_OUT, 0)
        ended = succeeded + failed
        context = {
            "counts": {
                "live": Run.objects.whole().open().order_by()[:COUNT_LIMIT].count(),
                "succeeded": succeeded,
                "failed": failed,
                "is_cut": is_cut,
                "rate": round(100 * succeeded / ended) if ended else None,
                "workflows": Workflow.objects.living().order_by()[:COUNT_LIMIT].count(),
            },
            "runs": lines_of(Run.objects.whole().newest().summary()[:8]),
            "meters": [one for one in limits.allowances() if one.metric in _SHOWN_METRICS],
            "may_run": policies.can_run_workflow(request.actor),
        }
        return render(request, "executions/overview.html", context)


def _recent() -> tuple[Counter[str], bool]:
    """How many runs of the last days are in each state, and whether there are more than counted."""
    newest = Run.objects.whole().newest().values_list("state", "created_at")[:RECENT_LIMIT]
    since = now() - RECENT
    states = [state for state, created_at in newest if created_at >= since]
    return Counter(states), len(states) == RECENT_LIMIT


@require_safe
@tenant_page
def index(request: TenantRequest) -> HttpResponse:
    """Every run, newest first."""
    require(policies.can_read_runs(request.actor), "see runs")
    with scope.transaction():
        context = _page(request, Run.objects.whole().newest(), key="runs")
        return render(request, "executions/list.html", context)


@require_safe
@tenant_page
def of_workflow(request: TenantRequest, workflow_id: uuid.UUID) -> HttpResponse:
    """The runs of one workflow."""
    require(policies.can_read_runs(request.actor), "see runs")
    with scope.transaction():
        context = {
            "workflow": workflows.found(workflow_id),
            "may_run": policies.can_run_workflow(request.actor),
            **_page(request, Run.objects.of_workflow(workflow_id), key=f"runs of {workflow_id}"),
        }
        return render(request, "executions/of_workflow.html", context)


def _page(request: TenantRequest, runs: Any, *, key: str) -> dict[str, Any]:
    asked = request.GET.get("status", "")
    status = asked if asked in set(RunStatus) else ""
    if status:
        runs = runs.in_state([RunStatus(status)])
    found = paginate(runs.summary(), order=("-id",), window=window_of(request), key=[key, status])
    shown = pager(found)
    return {
        "page": shown,
        "runs": lines_of(shown.items),
        "status": status,
        "statuses": [(one.value, words(one)) for one in RunStatus],
    }
