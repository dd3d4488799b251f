"""What the items of maps have done to the world, for whoever wants to run them again."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

from django.db.models import Count
from django.db.models.fields.json import KeyTextTransform

from apps.executions.engine.asking import DOUBTFUL
from apps.executions.engine.paths import is_kept
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


def item_effects(
    runs: Mapping[uuid.UUID, dt.datetime],
    types: Mapping[str, tuple[str, NodeType]],
    *,
    kept: Collection[str],
    spared: Collection[str],
) -> Iterator[ItemEffect]:
    """By the runs of a lineage (and their ends).

    Steps that are `kept` are taken over, and of the maps that are `spared` the items that are done.
    Of an item that failed or was left, an UNSAFE effect may have happened, unless the step itself
    said that it did not; every other effect dedupes by its key.
    """
    rows = (
        MapItem.objects.filter(run_id__in=list(runs), attempt__gt=0)
        .annotate(node=KeyTextTransform("nodeId", "error"), code=KeyTextTransform("code", "error"))
        .values_list("run_id", "path", "state", "node", "code")
        .annotate(times=Count("idx"))
        .order_by("run_id", "path", "state")
    )
    for run_id, path, state, node, code, times in rows:
        if is_kept(path, kept):
            continue
        for node_id, (step, node_type) in types.items():
            if step != top_of(path) or (state == "done" and path in spared):
                continue
            is_refused = node == node_id and code not in DOUBTFUL
            if state != "done" and (node_type.effect is not Effect.UNSAFE or is_refused):
                continue
            yield ItemEffect(
                node_id=node_id, at=runs[run_id], times=times, in_doubt=state != "done"
            )
