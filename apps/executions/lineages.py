"""Runs of one lineage: which there are, what effects they have had, which generation is free."""

from __future__ import annotations

import datetime as dt
import json
import uuid
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
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
from apps.executions.item_effects import NOTHING_SPARED, Spared, effects_of_item, item_effects
from apps.executions.models import AWAITED, ParentKind, Run, RunEvent
from apps.kit.errors import Refusal
from apps.tenancy import scope
from apps.versions.actions.commits import found as version_of
from apps.workflows.graph.callees import SUBWORKFLOW
from apps.workflows.graph.declaration import Effect, NodeType

CHAIN_SHOWN = 100
_TAKE_OVER = "SELECT engine_map_inherit_7(%s, %s, %s, %s::text[], %s::jsonb, %s::text[])"
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
    runs: Any,
    types: Mapping[str, tuple[str, NodeType]],
    *,
    bodies: Mapping[str, Plan],
    kept: Collection[str] = (),
    spared: Spared = NOTHING_SPARED,
) -> tuple[PastEffect, ...]:
    """What these runs have done to the world by these nodes (`types`: step and type by node id).

    An UNSAFE effect in doubt is among them; every other one in doubt dedupes by its key. What
    stands at or below `kept` paths does not run again, nor does what is spared of maps.
    """
    found: list[PastEffect] = []
    for path, at, kind in _ends(runs, _tops(types)):
        if is_kept(path, kept):
            continue
        in_doubt = kind != "step.completed"
        found += _effects(types, node_of(path), at, in_doubt=in_doubt)
    for one in item_effects(_ended(runs), types, bodies=bodies, kept=kept, spared=spared):
        step, node_type = types[one.node_id]
        found.append(
            _effect(step, one.node_id, node_type, one.at, one.times, in_doubt=one.in_doubt)
        )
    return merged(found)


def effects_in_item(
    runs: Any,
    types: Mapping[str, tuple[str, NodeType]],
    *,
    kept: Collection[str],
    item: tuple[str, int],
) -> tuple[PastEffect, ...]:
    """What one item of a map has done in these runs, where it ran in memory."""
    found: list[PastEffect] = []
    for seen in effects_of_item(_ended(runs), types, kept=kept, item=item):
        found += _effects(types, seen.node_id, seen.at, in_doubt=seen.in_doubt)
    return merged(found)


def merged(effects: Iterable[PastEffect]) -> tuple[PastEffect, ...]:
    """Each once, with how often and when it happened last."""
    found: dict[tuple[str, str, bool], PastEffect] = {}
    for one in effects:
        key = (one.path, one.node_id, one.in_doubt)
        before = found.get(key)
        found[key] = (
            one
            if before is None
            else replace(
                before,
                happened_at=max(before.happened_at, one.happened_at),
                times=before.times + one.times,
            )
        )
    return tuple(found.values())


def _effects(
    types: Mapping[str, tuple[str, NodeType]], node_id: str, at: dt.datetime, *, in_doubt: bool
) -> Iterator[PastEffect]:
    if node_id in types:
        step, node_type = types[node_id]
        if not in_doubt or node_type.effect is Effect.UNSAFE:
            yield _effect(step, node_id, node_type, at, 1, in_doubt=in_doubt)


def _effect(
    step: str, node_id: str, node_type: NodeType, at: dt.datetime, times: int, *, in_doubt: bool
) -> PastEffect:
    return PastEffect(
        path=step,
        node_id=node_id,
        node_type=node_type.type,
        effect=str(node_type.effect),
        happened_at=at,
        times=times,
        in_doubt=in_doubt,
    )


def take_over_items(source: uuid.UUID, run_id: uuid.UUID, spared: Spared) -> None:
    """What maps of an earlier run have done is done for the later one, before it begins."""
    with connection.cursor() as cursor:
        but = {} if spared.item is None else {spared.item[0]: spared.item[1]}
        maps, failed = list(spared.maps), list(spared.failed)
        tenant_id = scope.current_tenant_id()
        cursor.execute(_TAKE_OVER, [tenant_id, source, run_id, maps, json.dumps(but), failed])


def _ended(runs: Any) -> dict[uuid.UUID, dt.datetime]:
    rows = runs.values_list("pk", "finished_at", "created_at")
    return {pk: finished or created for pk, finished, created in rows}


@dataclass(frozen=True, kw_only=True, slots=True)
class Below:
    """A run that a step has waited for, at or below `top` in the document."""

    top: str
    run: Run


def children(
    runs: Any,
    tops: Collection[str],
    *,
    kept: Collection[str] = (),
    spared: Spared = NOTHING_SPARED,
) -> tuple[Below, ...]:
    """Runs that steps at or below these have waited for, in any of these runs.

    What is `kept` does not run again, nor do items that are done of maps that are spared; the one
    that does is looked at for itself.
    """
    rows = Run.objects.filter(parent_id__in=runs.values("pk")).summary()
    below = rows.filter(parent_kind__in=_UNDER).order_by("id")[:CHILDREN_LOOKED_AT]
    alone = None if spared.item is None else f"{spared.item[0]}[{spared.item[1]}]"
    found: list[Below] = []
    for one in below:
        path = one.parent_path or ""
        top = top_of(path)
        is_done = one.status in _DONE and path.rpartition("[")[0] in spared.maps
        if top not in tops or is_done or path == alone or is_kept(path, kept):
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
        plan = compiled_of(version_of(run.version_id)).plan
    except Refusal:
        return True  # Nobody can tell.
    types = effects_of(plan)
    if types and past_effects(members(run.lineage_id), types, bodies=plan.bodies):
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


def _ends(runs: Any, tops: Collection[str]) -> Iterable[tuple[str, Any, str]]:
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
    rows = RunEvent.objects.filter(ran | doubted | cut_off, run_id__in=runs.values("pk"))
    for path, at, kind in rows.order_by("at").values_list("path", "at", "type").iterator(1_000):
        if path is not None and top_of(path) in tops:
            yield path, at, kind
