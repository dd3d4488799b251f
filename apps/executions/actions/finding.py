"""The run that an action is about."""

from __future__ import annotations

import uuid

from apps.executions.errors import RunRefused
from apps.executions.models import ParentKind, Run
from apps.kit.errors import NotFound
from apps.tenancy.frozen import Frozen

_RUN: Frozen[Run] = Frozen(lambda run: Run.objects.filter(pk=run).order_by(), run=uuid.UUID)


def found(run_id: uuid.UUID) -> Run:
    """The run of this id in the scope."""
    run = _RUN.first(run=run_id)
    if run is None:
        raise NotFound.of("execution", path=("executionId",))
    return run


def require_whole(run: Run) -> None:
    """Raises RunRefused for an item of a map: what starts, rests and repeats is the run above."""
    if run.parent_kind == ParentKind.ITEM:
        message = (
            f"This run is the item {run.parent_path} of the run {run.parent_id}: ask for that one."
        )
        raise RunRefused("RUN_IS_AN_ITEM", message, path=("executionId",))
