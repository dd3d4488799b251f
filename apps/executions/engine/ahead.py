"""When what has been recorded is sent before it is decided what comes next."""

from __future__ import annotations

from itertools import islice

from apps.executions.engine.fold import RunState
from apps.executions.engine.state import RunStatus


def is_followed(state: RunState, *, slots: int, pool: str) -> bool:
    """A step comes next, and most probably nothing that belongs into the same append.

    To be wrong costs an append more and nothing else: what is durable early is durable.
    """
    if state.status is not RunStatus.RUNNING or state.is_stopping or state.unreached:
        return False
    if state.spare or state.waiting or state.mapping:
        return False
    steps = [state.steps[index] for index in islice(state.ready, slots)]
    alone = (step.needs_intent or step.is_dispatched_from(pool) for step in steps)
    return bool(steps) and not any(alone)
