"""The run that an action is about."""

from __future__ import annotations

import uuid

from apps.executions.models import Run
from apps.kit.errors import NotFound
from apps.tenancy.frozen import Frozen

_RUN: Frozen[Run] = Frozen(lambda run: Run.objects.filter(pk=run).order_by(), run=uuid.UUID)


def found(run_id: uuid.UUID) -> Run:
    """The run of this id in the scope."""
    run = _RUN.first(run=run_id)
    if run is None:
        raise NotFound.of("execution", path=("executionId",))
    return run
