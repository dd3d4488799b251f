"""Pages of a run and of a workflow's runs."""

from __future__ import annotations

import datetime as dt
import uuid
from typing import Any

import strawberry

from apps.executions import history, models
from apps.executions.engine.state import RunStatus
from apps.executions.graphql.types import (
    Execution,
    ExecutionConnection,
    LogConnection,
    LogLevel,
    NodeRun,
    NodeRunConnection,
)
from apps.kit.errors import Refusal
from apps.kit.graphql.connections import exactly, window
from apps.kit.graphql.extend import extend
from apps.kit.graphql.nodes import node_loader, text_node_loader
from apps.kit.graphql.selection import selects
from apps.kit.pages import Page
from apps.tenancy.actors import Permission
from apps.tenancy.graphql.context import Info, may
from apps.tenancy.models import EnvironmentKind
from apps.workflows.graph.shape import TriggerKind
from apps.workflows.graphql.types import Workflow
from apps.workflows.models import Workflow as WorkflowRow

_LEVELS = [level.value for level in LogLevel]
_WIDE = ("parameters", "result")


@strawberry.input
class TimeWindowInput:
    """From one instant to another."""

    from_: dt.datetime = strawberry.field(name="from")
    to: dt.datetime


@strawberry.input
class ExecutionFilter:
    """Which runs; all that is given must hold."""

    status: list[RunStatus] | None = None
    environment: EnvironmentKind | None = None
    trigger: list[TriggerKind] | None = None
    started_between: TimeWindowInput | None = None


def node_runs(
    root: strawberry.Parent[models.Run], first: int | None = 100, after: str | None = None
) -> NodeRunConnection:
    """Every node of the version, in the order of the document."""
    steps = history.steps(root)
    size = window(first=first, after=after).size()
    start = 0 if after is None else _position(after, len(steps))
    shown = steps[start : start + size]
    page = Page(
        items=tuple(NodeRun(run_id=root.pk, step=step) for step in shown),
        cursors=tuple(f"step-{start + n + 1}" for n in range(len(shown))),
        has_next=start + size < len(steps),
        has_previous=start > 0,
    )
    return NodeRunConnection.from_page(page, count=lambda: exactly(len(steps)))


def logs(
    root: strawberry.Parent[models.Run],
    node_id: str | None = None,
    level: LogLevel | None = None,
    first: int | None = 100,
    after: str | None = None,
) -> LogConnection:
    """What the steps wrote, the oldest first; `level` is the least severe shown."""
    levels = None if level is None else _LEVELS[_LEVELS.index(level.value) :]
    return LogConnection.of(
        history.logs(root.pk, path=node_id, levels=levels).filter(kind="log"),
        order=("id",),
        window=window(first=first, after=after),
        key=["logs", root.pk, node_id, level and level.value],
    )


def executions(
    root: strawberry.Parent[WorkflowRow],
    info: Info,
    filter: ExecutionFilter | None = None,
    first: int | None = 20,
    after: str | None = None,
) -> ExecutionConnection:
    """The workflow's runs, the newest first."""
    runs = models.Run.objects.of_workflow(root.pk).defer("variables")
    chosen, key = _filtered(runs, filter or ExecutionFilter())
    if not selects(info, *_WIDE):
        chosen = chosen.summary()
    return ExecutionConnection.of(
        chosen,
        order=("-id",),
        window=window(first=first, after=after),
        key=["executions", root.pk, key],
    )


def _filtered(runs: Any, wanted: ExecutionFilter) -> tuple[Any, list[Any]]:
    key: list[Any] = []
    if wanted.status:
        runs = runs.in_state(wanted.status)
        key.append(["status", sorted(status.value for status in wanted.status)])
    if wanted.environment is not None:
        runs = runs.filter(environment=wanted.environment.value)
        key.append(["environment", wanted.environment.value])
    if wanted.trigger:
        triggers = sorted(trigger.value for trigger in wanted.trigger)
        runs = runs.filter(trigger__in=triggers)
        key.append(["trigger", triggers])
    if wanted.started_between is not None:
        between = wanted.started_between
        runs = runs.filter(started_at__gte=between.from_, started_at__lt=between.to)
        key.append(["started", between.from_, between.to])
    return runs, key


def _position(cursor: str, most: int) -> int:
    name, _, number = cursor.partition("-")
    if name != "step" or not number.isascii() or not number.isdecimal() or len(number) > 9:
        raise Refusal("This cursor does not belong to a page of steps.", path=("after",))
    return min(int(number), most)


def _run(pk: uuid.UUID) -> Execution | None:
    if not may(Permission.WORKFLOWS_READ):
        return None
    return Execution.maybe(models.Run.objects.filter(pk=pk).first())


def _step(key: str) -> NodeRun | None:
    run, _, path = key.partition("/")
    try:
        run_id = uuid.UUID(run)
    except ValueError:
        return None
    if not may(Permission.WORKFLOWS_READ):
        return None
    run = models.Run.objects.filter(pk=run_id).first()
    if run is None:
        return None
    return next(
        (NodeRun(run_id=run_id, step=s) for s in history.steps(run) if s.path == path), None
    )


extend(
    Execution,
    "node_runs",
    node_runs,
    description="Every node of the version, in the order of the document.",
)
extend(Execution, "logs", logs, description="What the steps wrote, the oldest first.")
extend(Workflow, "executions", executions, description="Its runs, the newest first.")
node_loader("Execution", _run)
text_node_loader("NodeRun", _step)
