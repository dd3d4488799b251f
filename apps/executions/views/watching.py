"""One run: its steps, timeline, log and result, moving while it runs; and stopping it."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from django.contrib import messages
from django.db.models import Count
from django.http import Http404, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from apps.executions import lineages, policies
from apps.executions.actions import cancel_run
from apps.executions.actions.approving import subject_of
from apps.executions.engine.asking import HUMAN_KINDS
from apps.executions.engine.paths import node_of
from apps.executions.engine.state import StepStatus
from apps.executions.history import steps_at
from apps.executions.mapped import given_to
from apps.executions.models import AWAITED, LogLine, MapItem, ParentKind, Run
from apps.executions.outline import STEPS_LIMIT, attempts_at, outline
from apps.executions.parts import drawn_for, stand_ins, whole_of
from apps.executions.queueing import reasons
from apps.executions.timeline import SCALE, Attempt
from apps.executions.views.controlling import SignalForm
from apps.executions.views.outputs import Output, output_of, results_of
from apps.kit.clock import now
from apps.kit.html.tags import duration, tone
from apps.kit.ids import uuid7
from apps.tenancy import scope
from apps.tenancy.actors import Actor, Permission
from apps.tenancy.doors import TenantRequest, tenant_page
from apps.tenancy.models import Environment
from apps.tenancy.policies import require
from apps.versions.models import Approval, ApprovalKind, WorkflowVersion
from apps.workflows.actions import found as workflow_of
from apps.workflows.drawing import NODE_LIMIT, draw
from apps.workflows.graph.waits import WaitKind

SHOWN_LINES = 300
SHOWN_STEPS = 200
"""On one page of the timeline, each with its attempts: loops have many."""
SHOWN_RUNS = 200


@dataclass(frozen=True)
class Row:
    """An attempt with its place on the timeline."""

    attempt: Attempt
    tone: str
    begin: int
    width: int
    duration_ms: float | None
    outputs: tuple[Output, ...]
    is_forkable: bool = False
    map_done: int = 0
    """Of the items of a map, in thousandths of them."""
    open_items: int = 0
    """Items that have begun and not ended: they run, or wait."""
    child: Run | None = None
    """The run that this attempt waits, or waited, for."""
    is_question: bool = False
    """It waits for a person's word."""
    approval: uuid.UUID | None = None
    """The question that it waits for."""


@require_safe
@never_cache
@tenant_page
def run(request: TenantRequest, run_id: uuid.UUID) -> HttpResponse:
    """The whole page; without a script, the refresh button moves it."""
    require(policies.can_read_runs(request.actor), "see runs")
    with scope.transaction():
        found = _found(run_id)
        moving = _moving(found, page=_page(request))
        context = {
            **moving,
            "workflow": workflow_of(found.workflow_id),
            "environment": Environment.objects.filter(pk=found.environment_id).first(),
            "chain": lineages.chain(found),
            "parent": Run.objects.filter(pk=found.parent_id).summary().first()
            if found.parent_id
            else None,
            **_buttons(request.actor, found),
            "signal_form": _signal_form(moving["rows"])
            if policies.can_signal_run(request.actor)
            else None,
            "item": _item(found),
        }
        return render(request, "executions/run.html", context)


@require_safe
@never_cache
@tenant_page
def live(request: TenantRequest, run_id: uuid.UUID) -> HttpResponse:
    """The part of the page that moves; it asks for its successor until the run has ended."""
    require(policies.can_read_runs(request.actor), "see runs")
    with scope.transaction():
        found = _found(run_id)
        context = {
            **_moving(found, page=_page(request)),
            **_buttons(request.actor, found),
            "workflow": workflow_of(found.workflow_id),
        }
        return render(request, "executions/_live.html", context)


def _signal_form(rows: Sequence[Row]) -> SignalForm:
    """Filled in with what the first step waits for that waits for a signal."""
    waits = (row.attempt.wait for row in rows if row.attempt.status is StepStatus.WAITING)
    awaited = next((one for one in waits if one and one.kind is WaitKind.SIGNAL), None)
    initial: dict[str, Any] = {"dedup_key": uuid7()}
    if awaited is not None:
        initial |= {"name": awaited.name, "correlation_key": awaited.key}
    return SignalForm(initial=initial)


def _item(found: Run) -> Output | None:
    """What the item of a map is, of a run that stands for one."""
    if found.parent_kind != ParentKind.ITEM or found.parent_id is None:
        return None
    path, _, index = (found.parent_path or "").rstrip("]").rpartition("[")
    parent = Run.objects.filter(pk=found.parent_id).first()
    steps = steps_at(parent, [path]) if parent is not None else ()
    if not steps or steps[0].mapping is None:
        return None
    return output_of(found.parent_path or "", given_to(steps[0].mapping.opening, int(index)))


def _buttons(actor: Actor, found: Run) -> dict[str, Any]:
    """What of the moving part this reader may press; a part of a run rests and repeats with it."""
    is_whole = found.parent_kind != ParentKind.ITEM
    whole, prefix = whole_of(found)
    may_run = policies.can_run_workflow(actor)
    return {
        "may_run": may_run,
        "may_repeat": may_run and is_whole,
        "may_cancel": policies.can_cancel_run(actor),
        "may_pause": policies.can_pause_run(actor) and is_whole,
        "may_decide": actor.has(Permission.APPROVALS_DECIDE),
        "may_resolve": policies.can_resolve_step(actor),
        "may_fork": may_run and whole.status.is_terminal,
        "whole": whole,
        "prefix": prefix,
        "may_signal": policies.can_signal_run(actor),
    }


@require_POST
@tenant_page
def cancel(request: TenantRequest, run_id: uuid.UUID) -> HttpResponse:
    """Ask the run to stop."""
    stopped = cancel_run(actor=request.actor, run_id=run_id)
    if stopped.status.is_terminal:
        messages.info(request, "The run had ended already.")
    else:
        messages.success(request, "Asked to stop: nothing new starts, running steps are told.")
    return redirect("executions:run", request.organization.slug, run_id)


def _found(run_id: uuid.UUID) -> Run:
    found: Run | None = Run.objects.filter(pk=run_id).first()
    if found is None:
        raise Http404
    return found


def _page(request: TenantRequest) -> int:
    """Which part of a long timeline is looked at, from 1."""
    asked = request.GET.get("rows", "")
    return int(asked) if asked.isascii() and asked.isdecimal() and len(asked) < 7 else 1


def _moving(found: Run, *, page: int) -> dict[str, Any]:
    version = WorkflowVersion.objects.filter(pk=found.version_id).first()
    document = drawn_for(found, version.document if version is not None else {})
    seen = outline(found, document)
    copied = stand_ins(document)
    steps = [one for one in seen.latest if one.attempt or one.path not in copied]
    present = found.finished_at or now()
    # The row of a quick run learns of its begin when its first steps are recorded, so after them.
    since = min((at for at in (found.started_at, seen.since) if at is not None), default=None)
    pages = max(1, -(-len(steps) // SHOWN_STEPS))
    page = min(max(page, 1), pages)
    shown = _attempts(found, document, steps[(page - 1) * SHOWN_STEPS : page * SHOWN_STEPS])
    below = _children(found, {one.path for one in shown if one.is_call})
    questions = _approvals(found, shown)
    begun = _begun_items(found, shown)
    rows = [
        replace(
            _row(one, found, below, questions, since=since, present=present),
            open_items=begun.get(one.path, 0),
        )
        for one in shown
    ]
    # Of a body, the drawing shows the latest iteration.
    latest = {node_of(one.path): one for one in seen.latest}
    by_node = _drawn(found, document, latest, {one.path: one for one in shown})
    lines = list(LogLine.objects.filter(run_id=found.pk).order_by("-id")[: SHOWN_LINES + 1])
    return {
        "run": found,
        "queued": None if found.finished_at else reasons([found.pk]).get((found.pk, "")),
        "is_live": not found.status.is_terminal,
        "elapsed": None if since is None else present - since,
        "rows": rows,
        "page": page,
        "pages": pages,
        "limit": STEPS_LIMIT if seen.is_cut else 0,
        "tally": {
            "done": sum(one.status.is_settled for one in steps),
            "total": len(steps),
            "retries": seen.retries,
        },
        "drawing": draw(
            document,
            marks={node: _mark(one) for node, one in by_node.items()},
            notes={node: _note(one, present) for node, one in by_node.items()},
        ),
        "results": tuple(results_of(found.result)),
        "logs": list(reversed(lines[:SHOWN_LINES])),
        "is_log_cut": len(lines) > SHOWN_LINES,
        "metrics": _metrics(found.pk),
        "handlers": _handlers(found),
        "cpu_ms": found.cpu_seconds * 1000,
    }


@dataclass(frozen=True)
class Metric:
    """The last value of a number that a step reported."""

    path: str
    message: str
    value: str


def _metrics(run_id: uuid.UUID) -> list[Metric]:
    """The latest of each, in the order in which they first came."""
    found: dict[tuple[str, str], Metric] = {}
    lines = LogLine.objects.filter(run_id=run_id, kind="metric").order_by("id")[:SHOWN_LINES]
    for line in lines:
        value = (line.fields or {}).get("value")
        text = f"{value:g}" if isinstance(value, int | float) else str(value)
        found[line.path, line.message] = Metric(line.path, line.message, text)
    return list(found.values())


def _attempts(
    found: Run, document: Mapping[str, Any], steps: Sequence[Attempt]
) -> tuple[Attempt, ...]:
    """Every attempt of these steps, at length; a step without one as it stands."""
    lines: dict[str, list[Attempt]] = {}
    for one in attempts_at(found, document, [step.path for step in steps]):
        lines.setdefault(one.path, []).append(one)
    return tuple(one for step in steps for one in lines.get(step.path, [step]))


def _drawn(
    found: Run,
    document: Mapping[str, Any],
    by_node: Mapping[str, Attempt],
    shown: Mapping[str, Attempt],
) -> dict[str, Attempt]:
    """The nodes that a drawing has room for, with how long each took from its first word on."""
    nodes = [str(node["id"]) for node in (document.get("nodes") or ())[:NODE_LIMIT]]
    latest = {node: by_node[node] for node in nodes if node in by_node}
    paths = [one.path for one in latest.values() if one.path not in shown]
    more = attempts_at(found, document, paths, is_light=True) if paths else ()
    exact = {**shown, **{one.path: one for one in more}}
    return {node: exact.get(one.path, one) for node, one in latest.items()}


def _handlers(found: Run) -> list[Run]:
    """Runs that handle the failure of this one."""
    if found.error is None:
        return []
    rows = Run.objects.children(found.pk).filter(parent_kind=ParentKind.HANDLER)
    return list(rows.summary()[:SHOWN_RUNS])


def _children(found: Run, paths: Collection[str]) -> dict[tuple[str, int], Run]:
    """Runs that these steps wait for, by step and attempt."""
    if not paths:
        return {}
    rows = Run.objects.children(found.pk).filter(parent_path__in=paths).summary()
    below = rows.filter(parent_kind__in=AWAITED)
    return {(one.parent_path or "", one.parent_attempt or 0): one for one in below}


def _begun_items(found: Run, shown: Sequence[Attempt]) -> dict[str, int]:
    """How many items of each map are in progress; none of a run that has ended."""
    paths = {one.path for one in shown if one.mapping and not one.status.is_settled}
    if not paths or found.finished_at:
        return {}
    rows = MapItem.objects.filter(run_id=found.pk, path__in=paths, state="begun")
    return dict(rows.order_by().values_list("path").annotate(Count("idx")))


def _approvals(found: Run, shown: Sequence[Attempt]) -> dict[str, uuid.UUID]:
    """The open questions of steps that wait for an approval."""
    asks = [
        subject_of(found.pk, one.path)
        for one in shown
        if one.status is StepStatus.WAITING and one.wait and one.wait.kind is WaitKind.APPROVAL
    ]
    if not asks:
        return {}
    rows = Approval.objects.waiting().filter(kind=ApprovalKind.RUN_STEP, subject__in=asks)
    return dict(rows.values_list("form__path", "pk"))


def _row(
    one: Attempt,
    found: Run,
    below: Mapping[tuple[str, int], Run],
    questions: Mapping[str, uuid.UUID],
    *,
    since: dt.datetime | None,
    present: dt.datetime,
) -> Row:
    begin, width = one.bar(since=since, until=present)
    mapping = one.mapping
    total = max(mapping.opening.total, 1) if mapping else 1
    return Row(
        map_done=round(mapping.done * SCALE / total) if mapping else 0,
        attempt=one,
        tone=tone(one.status).partition(" ")[0],
        begin=begin,
        width=width,
        duration_ms=one.duration_ms(until=present),
        outputs=tuple(output_of(port, value) for port, value in one.outputs.items()),
        is_forkable=_is_forkable(one, found),
        child=below.get((one.path, one.attempt)),
        is_question=_is_question(one, found),
        approval=questions.get(one.path) if one.status is StepStatus.WAITING else None,
    )


def _is_forkable(one: Attempt, found: Run) -> bool:
    reached = one.status is not StepStatus.SKIPPED
    is_called = "/" in one.path.rpartition("]/")[2]
    return found.status.is_terminal and reached and not is_called


def _is_question(one: Attempt, found: Run) -> bool:
    waits = one.status in (StepStatus.WAITING, StepStatus.IN_DOUBT)
    asks = one.wait is not None and one.wait.kind in HUMAN_KINDS
    return waits and asks and not found.status.is_terminal


def _mark(one: Attempt) -> str:
    shade = tone(one.status)
    return f"is-{shade}" if shade else f"is-{one.status.value.lower()}"


def _note(one: Attempt, present: dt.datetime) -> str:
    length = one.duration_ms(until=present)
    if length is None:
        return ""
    # A box has room for the larger unit alone.
    return " ".join(duration(length).split()[:2])
