"""What the items of maps have done to the world, for whoever wants to run them again."""

from __future__ import annotations

import datetime as dt
import json
import uuid
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from django.db.models import Count, Exists, OuterRef, Q
from django.db.models.fields.json import KeyTextTransform

from apps.executions.engine.asking import DOUBTFUL
from apps.executions.engine.lineage import effects_of
from apps.executions.engine.paths import is_kept, node_of
from apps.executions.engine.plan import Plan
from apps.executions.engine.seeds import top_of
from apps.executions.models import MapItem
from apps.workflows.graph.declaration import Effect, NodeType


@dataclass(frozen=True, kw_only=True, slots=True)
class ItemEffect:
    """A node has had its effect, or may have had it, for so many items of one run."""

    node_id: str
    at: dt.datetime
    times: int
    in_doubt: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Spared:
    """What of maps does not run again: items that `run_id` has done, but for one (`item`)."""

    run_id: uuid.UUID | None = None
    maps: Collection[str] = ()
    failed: Collection[str] = ()
    """Of the maps: those whose failed items stay failed, too."""
    item: tuple[str, int] | None = None


NOTHING_SPARED: Final = Spared()


def item_effects(
    runs: Mapping[uuid.UUID, dt.datetime],
    types: Mapping[str, tuple[str, NodeType]],
    *,
    bodies: Mapping[str, Plan],
    kept: Collection[str],
    spared: Spared,
) -> Iterator[ItemEffect]:
    """By the runs of a lineage (and their ends).

    Steps that are `kept` are taken over, and what is spared. Of an item that failed or was left, an
    UNSAFE effect may have happened, unless the step itself said that it did not; every other effect
    dedupes by its key.
    """
    rows = (
        _said(_again(MapItem.objects.filter(run_id__in=list(runs), attempt__gt=0), spared))
        .values_list("run_id", "path", "state", "node", "code")
        .annotate(times=Count("idx"))
        .order_by("run_id", "path", "state")
    )
    for run_id, path, state, node, code, times in rows:
        if is_kept(path, kept):
            continue
        inside = effects_of(bodies[node_of(path)]) if node_of(path) in bodies else types
        for node_id, (step, node_type) in types.items():
            is_there = step == top_of(path) and node_id in inside
            if is_there and _may_have(node_type, state, is_own=node == node_id, code=code):
                yield ItemEffect(
                    node_id=node_id, at=runs[run_id], times=times, in_doubt=state != "done"
                )


def effects_of_item(
    runs: Mapping[uuid.UUID, dt.datetime],
    types: Mapping[str, tuple[str, NodeType]],
    *,
    kept: Collection[str],
    item: tuple[str, int],
) -> Iterator[ItemEffect]:
    """Of one item that ran in memory: exactly, where it left a history.

    `types` and `kept` are of the map's body.
    """
    path, idx = item
    rows = _said(
        MapItem.objects.filter(
            run_id__in=list(runs), path=path, idx=idx, attempt__gt=0, child__isnull=True
        )
    ).values_list("run_id", "state", "node", "code", "history", "output")
    for run_id, state, node, code, history, output in rows:
        done = history or (output if state == "begun" else None)
        for node_id, (_, node_type) in types.items():
            if done is not None:
                happened = list(_happened(done, node_id, kept))
            else:
                is_own = node == node_id
                is_past = _may_have(node_type, state, is_own=is_own, code=code)
                happened = [state != "done"] if is_past and node_id not in kept else []
            for in_doubt in happened:
                yield ItemEffect(node_id=node_id, at=runs[run_id], times=1, in_doubt=in_doubt)


def _happened(history: Any, node_id: str, kept: Collection[str]) -> Iterator[bool]:
    """One for each time, whether it is in doubt."""
    begun: set[str] = set()
    for kind, path, _, body in history:
        if path is None or node_of(path) != node_id or is_kept(path, kept):
            continue
        if kind == "step.started":
            begun.add(path)
        elif kind in _ENDS:
            begun.discard(path)
            said = json.loads(body or "{}")
            is_done = kind == "step.completed" and "origin" not in said
            if is_done or said.get("error", {}).get("code") in DOUBTFUL:
                yield not is_done
    yield from (True for _ in begun)


_ENDS: Final = ("step.completed", "step.failed")


def _may_have(node_type: NodeType, state: str, *, is_own: bool, code: str | None) -> bool:
    """Whether the node may have had its effect for an item that ended like this."""
    is_refused = is_own and code not in DOUBTFUL
    return state == "done" or (node_type.effect is Effect.UNSAFE and not is_refused)


def _said(rows: Any) -> Any:
    return rows.annotate(
        node=KeyTextTransform("nodeId", "error"), code=KeyTextTransform("code", "error")
    )


def _again(rows: Any, spared: Spared) -> Any:
    """The items that run again, or would: not those that are taken over."""
    if spared.item is not None:
        rows = rows.exclude(path=spared.item[0], idx=spared.item[1])
    if not spared.maps:
        return rows
    taken = MapItem.objects.filter(
        Q(state="done") | Q(state="failed", path__in=list(spared.failed)),
        run_id=spared.run_id,
        path=OuterRef("path"),
        idx=OuterRef("idx"),
    )
    return rows.exclude(Q(path__in=list(spared.maps)) & Q(Exists(taken)))
