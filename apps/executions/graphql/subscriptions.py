"""`executionEvents`: replays a run from a sequence, then follows it to its end."""

from __future__ import annotations

import datetime as dt
from collections.abc import AsyncIterator, Iterator
from typing import Annotated

import strawberry
from channels.db import database_sync_to_async
from strawberry.scalars import JSON

from apps.executions import models
from apps.executions.graphql.stream import (
    LINGER_SECONDS,
    LOOK_EVERY_SECONDS,
    Hints,
    Look,
    RunChange,
    Watch,
)
from apps.executions.graphql.types import Execution, LogLine, NodeRun
from apps.executions.live import group_of
from apps.kit.errors import Forbidden
from apps.kit.graphql.fields import subscription
from apps.kit.graphql.nodes import key_of
from apps.kit.graphql.scalars import BigInt
from apps.tenancy.actors import Permission
from apps.tenancy.graphql.context import SocketInfo


@strawberry.type
class ExecutionStatusChanged:
    """The run after one event of its history."""

    seq: BigInt
    execution: Execution


@strawberry.type
class NodeRunChanged:
    """A step after one event of the history."""

    seq: BigInt
    node_run: NodeRun


@strawberry.type
class LogAppended:
    """Log lines carry their own sequence, not the history's."""

    lines: list[LogLine]


@strawberry.type
class MetricSampled:
    """One sample of a metric a step reported."""

    name: str
    value: float
    at: dt.datetime


@strawberry.type
class OutputChunk:
    """A piece of a streamed output; not kept once the step's output is."""

    node_run_id: strawberry.ID
    index: int
    port: str
    text: str | None = None
    data: JSON | None = None


ExecutionEvent = Annotated[
    ExecutionStatusChanged | NodeRunChanged | LogAppended | MetricSampled | OutputChunk,
    strawberry.union("ExecutionEvent"),
]


@strawberry.type
class Subscription:
    """Runs, live."""

    @subscription()
    async def execution_events(
        self, info: SocketInfo, execution_id: strawberry.ID, after_seq: BigInt | None = None
    ) -> AsyncIterator[ExecutionEvent]:
        """Replays from `afterSeq`, then follows; every event has a gapless seq."""
        actor = info.context.actor
        if not actor.has(Permission.WORKFLOWS_READ):
            raise Forbidden(f"This needs the scope {Permission.WORKFLOWS_READ}.")
        run_id = key_of(execution_id, "Execution", noun="execution", path=("executionId",))
        watch = Watch(actor=actor, run_id=run_id, after_seq=max(0, after_seq or 0))
        look = database_sync_to_async(watch.look)
        # Joined before the first look: what is committed after it rings.
        async with info.context.ws.listen_to_channel(
            "run.hint", groups=[group_of(run_id)]
        ) as messages:
            hints = Hints(messages)
            try:
                if watch.after_seq:
                    await database_sync_to_async(watch.from_now)()
                is_last = False
                while True:
                    found = await look()
                    for event in _events(watch, found):
                        yield event
                    if found.has_more:
                        continue
                    if is_last:
                        return
                    is_last = found.is_over
                    await hints.wait(LINGER_SECONDS if is_last else LOOK_EVERY_SECONDS)
            finally:
                await hints.close()


def _events(watch: Watch, found: Look) -> Iterator[ExecutionEvent]:
    for change in found.changes:
        if isinstance(change, RunChange):
            yield ExecutionStatusChanged(seq=BigInt(change.seq), execution=Execution.of(change.run))
        else:
            yield NodeRunChanged(
                seq=BigInt(change.seq), node_run=NodeRun(run_id=watch.run_id, step=change.step)
            )
    if found.lines:
        yield LogAppended(lines=[LogLine.of(line) for line in found.lines])
    for metric in found.metrics:
        yield _sample(metric)


def _sample(line: models.LogLine) -> MetricSampled:
    value = (line.fields or {}).get("value", 0.0)
    return MetricSampled(name=line.message, value=float(value), at=line.at)
