"""Pages of a run and of a workflow's runs."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Collection, Hashable, Iterable, Mapping
from functools import partial
from typing import Any

import strawberry

from apps.executions import history, models
from apps.executions.engine.state import RunStatus
from apps.executions.graphql import family, items  # noqa: F401 - relatives, items of maps
from apps.executions.graphql.types import (
    Execution,
    ExecutionConnection,
    LogConnection,
    LogLevel,
    NodeRun,
    NodeRunConnection,
)
from apps.kit.errors import Refusal
from apps.kit.graphql.batch import batched
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
    size = window(first=first, after=after).size()
    start = 0 if after is None else _position(after)

    if after is None:
        load = partial(_first_steps, size)
        found = batched(root, f"first {size} steps", load, root.pk)
    else:
        found = history.step_pages([root], start=start, size=size)[root.pk]
    if found is None:
        message = f"the steps of run {root.pk} were not among those of its page"
        raise LookupError(message)
    page = Page(
        items=tuple(NodeRun(run_id=root.pk, step=step) for step in found.steps),
        cursors=tuple(f"step-{start + n + 1}" for n in range(len(found.steps))),
        has_next=start + size < found.total,
        has_previous=start > 0,
    )
    total = found.total
    return NodeRunConnection.from_page(page, count=lambda: exactly(total))


def logs(
    root: strawberry.Parent[models.Run],
    node_id: str | None = None,
    level: LogLevel | None = None,
    first: int | None = 100,
    after: str | None = None,
) -> LogConnection:
    """What the steps wrote, the oldest first; `level` is the least severe shown."""
    levels = None if level is None else _LEVELS[_LEVELS.index(level.value) :]
    return LogConnection.of_each(
        root,
        lambda run: history.logs(run.pk, path=node_id, levels=levels).filter(kind="log"),
        order=("id",),
        window=window(first=first, after=after),
        key=["logs", node_id, level and level.value],
    )


def executions(
    root: strawberry.Parent[WorkflowRow],
    info: Info,
    filter: ExecutionFilter | None = None,
    first: int | None = 20,
    after: str | None = None,
) -> ExecutionConnection:
    """The workflow's runs, the newest first."""
    wide = selects(info, *_WIDE)
    wanted = filter or ExecutionFilter()

    def rows(one: WorkflowRow) -> Any:
        chosen, _ = _filtered(models.Run.objects.of_workflow(one.pk), wanted)
        return chosen.defer("variables") if wide else chosen.summary()

    return ExecutionConnection.of_each(
        root,
        rows,
        window=window(first=first, after=after),
        key=["executions", *_filtered(models.Run.objects.all(), wanted)[1]],
        columns=wide,
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


def _first_steps(size: int, runs: tuple[models.Run, ...]) -> Mapping[Hashable, history.StepPage]:
    return dict(history.step_pages(runs, start=0, size=size).items())


def _position(cursor: str) -> int:
    name, _, number = cursor.partition("-")
    if name != "step" or not number.isascii() or not number.isdecimal() or len(number) > 9:
        raise Refusal("This cursor does not belong to a page of steps.", path=("after",))
    return int(number)


def _runs(keys: Collection[uuid.UUID]) -> Iterable[models.Run]:
    if not may(Permission.WORKFLOWS_READ):
        return []
    found: Iterable[models.Run] = models.Run.objects.filter(pk__in=keys)
    return found


def _steps(keys: Collection[str]) -> Mapping[str, NodeRun]:
    """By "<run>/<path>"; a run's history is read once for all of its steps."""
    places = {key: place for key in keys if (place := _place(key)) is not None}
    found: dict[str, NodeRun] = {}
    for run in _runs({run_id for run_id, _ in places.values()}):
        paths = {path for run_id, path in places.values() if run_id == run.pk}
        by_path = {step.path: step for step in history.steps_at(run, paths)}
        found |= {
            key: NodeRun(run_id=run_id, step=by_path[path])
            for key, (run_id, path) in places.items()
            if run_id == run.pk and path in by_path
        }
    return found


def _place(key: str) -> tuple[uuid.UUID, str] | None:
    run, _, path = key.partition("/")
    try:
        return uuid.UUID(run), path
    except ValueError:
        return None


extend(
    Execution,
    "node_runs",
    node_runs,
    description="Every node of the version, in the order of the document.",
)
extend(Execution, "logs", logs, description="What the steps wrote, the oldest first.")
extend(Workflow, "executions", executions, description="Its runs, the newest first.")
node_loader("Execution", _runs)
text_node_loader("NodeRun", _steps)
