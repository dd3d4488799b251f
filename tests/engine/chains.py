"""A run that goes on from another, in memory: what the chain's SQL function does to rows."""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import replace
from typing import Any

from apps.executions.engine.codec import Row, encode
from apps.executions.engine.lineage import Inheritance, inherit
from apps.executions.engine.plan import Plan
from apps.executions.engine.seeds import StepGiven
from tests.engine.simulator import World

COPIED = ("step.completed", "step.failed", "step.skipped", "step.reused")


def again(
    world: World,
    *,
    plan: Plan | None = None,
    redo: Collection[str] = (),
    given: Collection[StepGiven] = (),
    **fields: Any,
) -> World:
    """The next run of the lineage; it shares the sink, where the world's effects are counted."""
    plan = plan or world.plan
    found = inherit(world.folded(), plan, redo=redo)
    following = World(plan, script=world.script, seconds=world.seconds, **fields)
    following.effects = world.effects
    following.rows += [encode(one) for one in given]
    following.rows += [copied(row) for row in world.rows if is_copied(row, found)]
    return following


def is_copied(row: Row, found: Inheritance) -> bool:
    """Whether the new run has it."""
    if row.type == "step.iterated":
        index: int = json.loads(row.body or "{}")["index"]
        return index < found.opened.get(row.path or "", 0)
    return row.path in found.kept and row.type in COPIED


def copied(row: Row) -> Row:
    """A row as the new run has it."""
    if row.type in ("step.skipped", "step.reused"):
        return row
    body = {**json.loads(row.body or "{}"), "run": "the source"}
    if row.type == "step.iterated":
        body.pop("usage", None)
        return replace(row, body=json.dumps(body))
    return replace(row, type="step.reused", body=json.dumps(body))
