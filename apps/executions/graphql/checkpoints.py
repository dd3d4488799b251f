"""Places in a run from which a new one can go on."""

from __future__ import annotations

import datetime as dt
from collections.abc import Hashable, Mapping, Sequence

import strawberry

from apps.executions import models
from apps.kit.graphql.batch import batched


@strawberry.type
class Checkpoint:
    """A place in a run from which a new one can go on."""

    id: strawberry.ID
    node_id: str
    created_at: dt.datetime
    resumable: bool


def checkpoints(run: models.Run) -> list[Checkpoint]:
    """Where each step had settled, in order."""
    return [
        Checkpoint(
            id=strawberry.ID(f"{run.pk}/{one.seq}"),
            node_id=one.path or "",
            created_at=one.at,
            resumable=run.status.is_terminal,
        )
        for one in batched(run, "checkpoints", _of_each, run.pk) or ()
    ]


def _of_each(
    runs: tuple[models.Run, ...],
) -> Mapping[Hashable, Sequence[models.RunEvent]]:
    """Of each run, the events that settled a step of the document's top level."""
    found: dict[Hashable, list[models.RunEvent]] = {run.pk: [] for run in runs}
    for event in models.RunEvent.objects.settling([run.pk for run in runs]):
        found[event.run_id].append(event)
    return found
