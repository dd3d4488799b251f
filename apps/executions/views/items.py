"""The items of one map of a run: which failed, with what, and what the others made."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.http import Http404, HttpResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from apps.executions import history, policies
from apps.executions.engine.paths import node_of
from apps.executions.mapped import given_to
from apps.executions.models import MapItem, Run
from apps.executions.parts import whole_of
from apps.executions.views.outputs import Output, output_of
from apps.kit.html.paging import pager, window_of
from apps.kit.pages import paginate
from apps.tenancy import scope
from apps.tenancy.actors import Actor
from apps.tenancy.doors import TenantRequest, tenant_page
from apps.tenancy.policies import require
from apps.versions.models import WorkflowVersion

FORKS_SHOWN = 20
STATES = (("failed", "Failed"), ("done", "Done"), ("begun", "In progress"))


@dataclass(frozen=True, kw_only=True)
class ItemLine:
    """An item as the page shows it."""

    index: int
    status: str
    error: dict[str, Any] | None
    input: Output
    output: Output | None
    run_id: uuid.UUID | None
    """Of an item that is a run of its own."""


@require_safe
@never_cache
@tenant_page
def items(request: TenantRequest, run_id: uuid.UUID) -> HttpResponse:
    """By index; failed ones first asked for, for they are what people look for."""
    require(policies.can_read_runs(request.actor), "see runs")
    path = request.GET.get("path", "")
    asked = request.GET.get("state", "")
    state = asked if asked in dict(STATES) else ""
    with scope.transaction():
        run = Run.objects.filter(pk=run_id).first()
        if run is None:
            raise Http404
        steps = history.steps_at(run, [path]) if path else ()
        progress = steps[0].mapping if steps else None
        if progress is None:
            if path:
                raise Http404
            return render(request, "executions/items.html", {"run": run})
        rows = MapItem.objects.of_map(run_id, path)
        if state:
            rows = rows.filter(state=state)
        key = ["items", run_id, path, state]
        found = paginate(rows, order=("idx",), window=window_of(request), key=key)
        context = {
            "run": run,
            "path": path,
            "progress": progress,
            "page": pager(found),
            "lines": _lines(found.items, progress.opening),
            "state": state,
            "states": STATES,
            **_forks(request.actor, run, path),
        }
        return render(request, "executions/items.html", context)


def _forks(actor: Actor, run: Run, path: str) -> dict[str, Any]:
    """Where an item can be forked: the nodes in the map, of a run that has ended."""
    whole, prefix = whole_of(run)
    if not (policies.can_run_workflow(actor) and whole.status.is_terminal):
        return {}
    graphs = WorkflowVersion.objects.filter(pk=run.version_id).values_list("document", flat=True)
    nodes = (graphs.first() or {}).get("nodes") or ()
    inside = [one["id"] for one in nodes if one.get("parentId") == node_of(path)]
    return {"whole": whole, "prefix": f"{prefix}{path}", "forks": inside[:FORKS_SHOWN]}


def _lines(rows: Sequence[MapItem], opening: Any) -> list[ItemLine]:
    asked = {row.child for row in rows if row.child is not None}
    # A run may be gone while what became of the item is still known.
    runs = dict(Run.objects.filter(pk__in=asked).values_list("pk", "state")) if asked else {}
    return [_line(row, opening, runs) for row in rows]


def _line(row: MapItem, opening: Any, runs: Mapping[uuid.UUID, str]) -> ItemLine:
    is_done = row.state == "done"
    run_id = row.child if row.child in runs else None
    status = {"done": "SUCCEEDED", "failed": "FAILED", "begun": "RUNNING"}[row.state]
    return ItemLine(
        index=row.idx,
        # What is in progress may wait: its own run knows.
        status=runs[run_id] if run_id and row.state == "begun" else status,
        error=row.error,
        input=output_of("item", given_to(opening, row.idx)),
        output=output_of("result", row.output) if is_done else None,
        run_id=run_id,
    )
