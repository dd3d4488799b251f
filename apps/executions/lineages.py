"""Runs of one lineage: which there are, what effects they have had, which generation is free."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import takewhile
from typing import Any

from django.db import connection
from django.db.models import Exists, IntegerField, Max, OuterRef, Q
from django.db.models.fields.json import KeyTextTransform
from django.db.models.functions import Cast

from apps.executions.compiled import compiled_of
from apps.executions.engine.asking import DOUBTFUL
from apps.executions.engine.codec import decode
from apps.executions.engine.fold import RunState, fold
from apps.executions.engine.lineage import effects_of
from apps.executions.engine.paths import is_kept, node_of
from apps.executions.engine.plan import Plan
from apps.executions.engine.seeds import top_of
from apps.executions.engine.state import RunStatus
from apps.executions.errors import PastEffect
from apps.executions.history import all_events
from apps.executions.item_effects import item_effects
from apps.executions.models import AWAITED, ParentKind, Run, RunEvent
from apps.kit.errors import Refusal
from apps.tenancy import scope
from apps.versions.actions.commits import found as version_of
from apps.workflows.graph.callees import SUBWORKFLOW
from apps.workflows.graph.declaration import Effect, NodeType

CHAIN_SHOWN = 100
_TAKE_OVER = "SELECT engine_map_inherit_3(%s, %s, %s, %s::text[])"
CHILDREN_LOOKED_AT = 500
_UNDER = (*AWAITED, ParentKind.ITEM)
_DONE = (RunStatus.SUCCEEDED, RunStatus.PARTIAL)


def lock(lineage_id: uuid.UUID) -> None:
    """One start of a lineage at a time, until the transaction ends."""
    with connection.cursor() as cursor:
        key = f"{scope.current_tenant_id()}{lineage_id}"
        cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 2))", [key])


def members(lineage_id: uuid.UUID) -> Any:
    """A QuerySet of the lineage's runs; the first one is the lineage's own id."""
    chained = Q(lineage_id=lineage_id, retried_from_id__isnull=False)
    return Run.objects.filter(Q(pk=lineage_id) | chained)


def chain(run: Run) -> tuple[Run, ...]:
    """The runs of a lineage, the first one first; empty where a run stands alone."""
    rows = tuple(members(run.lineage_id).summary().order_by("id")[:CHAIN_SHOWN])
    return rows if len(rows) > 1 else ()


def state_at(run: Run, plan: Plan, *, seq: int) -> RunState:
    """The run as it was after an event."""
    past = takewhile(lambda view: view.seq <= seq, all_events(run.pk))
    return fold(
        plan,
        (decode(view.type, path=view.path, attempt=view.attempt, body=view.body) for view in past),
    )


def past_effects(
    lineage_id: uuid.UUID,
    types: Mapping[str, tuple[str, NodeType]],
    *,
    kept: Collection[str] = (),
    spared: Collection[str] = (),
) -> tuple[PastEffect, ...]:
    """What the lineage has done to the world by these nodes (`types`: step and type by node id).

    An UNSAFE effect in doubt is among them; every other one in doubt dedupes by its key. What
    stands at or below `kept` paths does not run again; `spared` are maps whose done items do not.
    """
    found: dict[tuple[str, bool], PastEffect] = {}
    for path, at, kind in _ends(lineage_id, _tops(types)):
        node_id = node_of(path)
        if node_id not in types or is_kept(path, kept):
            continue
        step, node_type = types[node_id]
        in_doubt = kind != "step.completed"
        if in_doubt and node_type.effect is not Effect.UNSAFE:
            continue
        before = found.get((node_id, in_doubt))
        found[node_id, in_doubt] = PastEffect(
            path=step,
            node_id=node_id,
            node_type=node_type.type,
            effect=str(node_type.effect),
            happened_at=at if before is None else max(at, before.happened_at),
            times=1 if before is None else before.times + 1,
            in_doubt=in_doubt,
        )
    for one in item_effects(_ended(lineage_id), types, kept=kept, spared=spared):
        step, node_type = types[one.node_id]
        before = found.get((one.node_id, one.in_doubt))
        found[one.node_id, one.in_doubt] = PastEffect(
            path=step,
            node_id=one.node_id,
            node_type=node_type.type,
            effect=str(node_type.effect),
            happened_at=one.at if before is None else max(one.at, before.happened_at),
            times=one.times if before is None else before.times + one.times,
            in_doubt=one.in_doubt,
        )
    return tuple(found.values())


def take_over_items(source: uuid.UUID, run_id: uuid.UUID, paths: Collection[str]) -> None:
    """What maps of an earlier run have done is done for the later one, before it begins."""
    with connection.cursor() as cursor:
        tenant_id = scope.current_tenant_id()
        cursor.execute(_TAKE_OVER, [tenant_id, source, run_id, list(paths)])


def _ended(lineage_id: uuid.UUID) -> dict[uuid.UUID, dt.datetime]:
    rows = members(lineage_id).values_list("pk", "finished_at", "created_at")
    return {pk: finished or created for pk, finished, created in rows}


@dataclass(frozen=True, kw_only=True, slots=True)
class Below:
    """A run that a step has waited for, at or below `top` in the document."""

    top: str
    run: Run


def children(
    lineage_id: uuid.UUID,
    tops: Collection[str],
    *,
    kept: Collection[str] = (),
    spared: Collection[str] = (),
) -> tuple[Below, ...]:
    """Runs that steps at or below these have waited for, in any run of the lineage.

    What is `kept` does not run again, nor do items that are done of maps that are `spared`.
    """
    rows = Run.objects.filter(parent_id__in=members(lineage_id).values("pk")).summary()
    below = rows.filter(parent_kind__in=_UNDER).order_by("id")[:CHILDREN_LOOKED_AT]
    found: list[Below] = []
    for one in below:
        path = one.parent_path or ""
        top = top_of(path)
        is_done = one.status in _DONE and path.rpartition("[")[0] in spared
        if top not in tops or is_done or is_kept(path, kept):
            continue
        found += (Below(top=top, run=child) for child in _called_by(one))
    return tuple(found)


def _called_by(run: Run) -> Iterator[Run]:
    """The run itself, or of an item those that its steps have waited for."""
    if run.parent_kind != ParentKind.ITEM:
        yield run
        return
    for one in _under(run):
        yield from _called_by(one)


def _under(run: Run) -> Any:
    rows = Run.objects.filter(parent_id=run.pk, parent_kind__in=_UNDER).summary()
    return rows.order_by("id")[:CHILDREN_LOOKED_AT]


def effects_below(below: Iterable[Below]) -> tuple[PastEffect, ...]:
    """Steps whose children have touched the world: a new child would do so under new keys."""
    found: dict[tuple[str, str], PastEffect] = {}
    for one in below:
        child = one.run
        if not _has_touched(child):
            continue
        node_id = node_of(child.parent_path or "")
        before = found.get((one.top, node_id))
        found[one.top, node_id] = PastEffect(
            path=one.top,
            node_id=node_id,
            node_type=SUBWORKFLOW,
            effect=str(Effect.KEYED),
            happened_at=child.finished_at or child.created_at,
            times=1 if before is None else before.times + 1,
            in_doubt=False,
        )
    return tuple(found.values())


def _has_touched(run: Run) -> bool:
    try:
        types = effects_of(compiled_of(version_of(run.version_id)).plan)
    except Refusal:
        return True  # Nobody can tell.
    if types and past_effects(run.lineage_id, types):
        return True
    return any(_has_touched(one) for under in _under(run) for one in _called_by(under))


def next_generation(lineage_id: uuid.UUID) -> int:
    """One that no key of the lineage has had. Call `lock` first."""
    runs = members(lineage_id).values("pk")
    said = RunEvent.objects.filter(run_id__in=runs, type="step.given")
    number = Cast(KeyTextTransform("generation", "body"), IntegerField())
    return (said.aggregate(most=Max(number))["most"] or 1) + 1


def _tops(types: Mapping[str, tuple[str, NodeType]]) -> Collection[str]:
    return {step for step, _ in types.values()}


def _ends(lineage_id: uuid.UUID, tops: Collection[str]) -> Iterable[tuple[str, Any, str]]:
    """Completions that came from running, and ends that leave it open what happened."""
    begun = RunEvent.objects.filter(
        run_id=OuterRef("run_id"),
        path=OuterRef("path"),
        seq__lt=OuterRef("seq"),
        type__in=("step.started", "step.dispatched"),
    )
    ran = Q(type="step.completed") & ~Q(body__has_key="origin")
    doubted = Q(type="step.failed", body__error__code__in=list(DOUBTFUL))
    cut_off = Q(Exists(begun), type="step.canceled")
    rows = RunEvent.objects.filter(
        ran | doubted | cut_off, run_id__in=members(lineage_id).values("pk")
    )
    for path, at, kind in rows.order_by("at").values_list("path", "at", "type").iterator(1_000):
        if path is not None and top_of(path) in tops:
            yield path, at, kind
