"""Types of executions. A run is its row; a step is folded from history."""

from __future__ import annotations

import datetime as dt
import enum
import json
import uuid
from collections.abc import Hashable, Mapping
from typing import Any

import strawberry
import strawberry_django
from strawberry import relay
from strawberry.scalars import JSON

from apps.executions import models
from apps.executions.engine.advice import advice, may_pass
from apps.executions.engine.paths import iteration_of, node_of
from apps.executions.engine.seeds import Origin
from apps.executions.engine.state import RunStatus, StepStatus
from apps.executions.engine.storable import usage_json
from apps.executions.graphql.checkpoints import Checkpoint, checkpoints
from apps.executions.graphql.queued import QueuedReason, of_runs, of_steps
from apps.executions.history import StepView
from apps.kit.graphql.batch import batched
from apps.kit.graphql.connections import Connection, Edge
from apps.kit.graphql.fields import field
from apps.kit.graphql.money import Money
from apps.kit.graphql.mutations import Payload
from apps.kit.graphql.nodes import global_id
from apps.kit.graphql.scalars import URL, BigInt
from apps.tenancy.graphql.types import TenantType
from apps.tenancy.models import EnvironmentKind
from apps.workflows.graph.shape import TriggerKind
from apps.workflows.graph.waits import WaitKind
from apps.workflows.graphql.types import Workflow
from apps.workflows.models import Workflow as WorkflowRow

strawberry.enum(RunStatus, name="ExecutionStatus")
strawberry.enum(StepStatus, name="NodeRunStatus")
PREVIEW_CHARACTERS = 2_000


@strawberry.enum
class SlaStatus(enum.Enum):
    """How a run stands towards its promise."""

    NONE = "NONE"
    ON_TRACK = "ON_TRACK"
    AT_RISK = "AT_RISK"
    BREACHED = "BREACHED"
    MET = "MET"


@strawberry.enum
class LogLevel(enum.Enum):
    """Severity of a line."""

    DEBUG = "DEBUG"
    INFO = "INFO"
    WARN = "WARN"
    ERROR = "ERROR"


@strawberry.type
class ExecutionError:
    """Why a run or a step failed, and what to do."""

    code: str
    message: str
    node_id: str | None
    retryable: bool
    recovery: str | None

    @classmethod
    def of(cls, error: Mapping[str, Any], *, retryable: bool = False) -> ExecutionError:
        """From what history keeps: {code, message, nodeId, attempt, details?}."""
        code = str(error.get("code", ""))
        stated = (error.get("details") or {}).get("recovery")
        may_help = retryable or may_pass(code)
        return cls(
            code=code,
            message=str(error.get("message", "")),
            node_id=error.get("nodeId"),
            retryable=may_help,
            recovery=stated if isinstance(stated, str) else advice(code, retryable=may_help),
        )


strawberry.enum(WaitKind, name="WaitKind")


@strawberry.type
class NodeWait:
    """What a step waits for, and until when; without an instant, as long as the run lives."""

    kind: WaitKind
    name: str
    correlation_key: str | None
    until: dt.datetime | None


@strawberry.type
class NodeRun(relay.Node):
    """One step with its latest attempt, as history tells it."""

    run_id: strawberry.Private[uuid.UUID]
    step: strawberry.Private[StepView]

    @classmethod
    def resolve_id(cls, root: Any, *, info: strawberry.Info) -> str:
        """Run and place: steps have no rows."""
        return f"{root.run_id}/{root.step.path}"

    @field()
    def node_id(self) -> str:
        """The node in the document."""
        return node_of(self.step.path)

    @field()
    def path(self) -> str:
        """Place inside containers, e.g. rows[3]/retry[1]/score."""
        return self.step.path

    @field()
    def attempt(self) -> int:
        """The latest attempt, from 1; 0 before the first."""
        return self.step.attempt

    @field()
    def item_index(self) -> int | None:
        """The item's number inside a container."""
        return iteration_of(self.step.path)

    @field()
    def status(self) -> StepStatus:
        """Where the step is."""
        return self.step.status

    @field()
    def started_at(self) -> dt.datetime | None:
        """When the latest attempt began."""
        return self.step.started_at

    @field()
    def finished_at(self) -> dt.datetime | None:
        """When it ended."""
        return self.step.finished_at

    @field()
    def input_preview(self) -> JSON | None:
        """Inputs are the outputs of the steps before; history keeps them once."""
        return None

    @field()
    def output_preview(self) -> JSON | None:
        """The outputs by port, or the beginning of their text."""
        return JSON(preview(self.step.outputs)) if self.step.outputs else None

    @field()
    def reused_from(self) -> strawberry.ID | None:
        """The run whose outcome this is: the step did not run in this one."""
        earlier = self.step.reused_from
        return None if earlier is None else strawberry.ID(global_id("Execution", earlier))

    @field()
    def is_pinned(self) -> bool:
        """Its outputs are sample data pinned to the node: nothing ran."""
        return self.step.origin is Origin.PINNED

    @field()
    def output_url(self) -> URL | None:
        """Large outputs are artifacts: their references stand in the preview."""
        return None

    @field()
    def resource_usage(self) -> JSON | None:
        """CPU seconds, peak memory, bytes and wall time of the latest attempt."""
        return None if self.step.usage is None else JSON(usage_json(self.step.usage))

    @field()
    def queued_reason(self) -> QueuedReason | None:
        """Why a step that could run does not yet; null when nothing waits for a worker or a key."""
        if self.step.status.is_settled:
            return None
        return QueuedReason.of(batched(self, "queued", of_steps, (self.run_id, self.step.path)))

    @field()
    def cost(self) -> Money | None:
        """What the attempt cost."""
        return None if self.step.usage is None else Money.of(self.step.usage.cost_minor)

    @field()
    def waits_for(self) -> NodeWait | None:
        """While it waits: for what."""
        wait = self.step.wait
        if wait is None:
            return None
        return NodeWait(kind=wait.kind, name=wait.name, correlation_key=wait.key, until=wait.until)

    @field()
    def error(self) -> ExecutionError | None:
        """Why the latest attempt failed."""
        if self.step.error is None:
            return None
        return ExecutionError.of(self.step.error, retryable=self.step.retry_at is not None)


@strawberry.type
class NodeRunEdge(Edge[NodeRun]):
    """One step in a page."""


@strawberry.type
class NodeRunConnection(Connection[NodeRun, NodeRunEdge]):
    """The steps of a run in the order of the document."""


@strawberry_django.type(models.LogLine, name="LogLine", description="One line a step wrote.")
class LogLine(TenantType):
    """Log lines carry their own sequence, not the history's."""

    at: dt.datetime
    message: str
    fields: JSON | None

    @field()
    def seq(self, root: strawberry.Parent[models.LogLine]) -> BigInt:
        """Grows in the order of writing."""
        return BigInt(root.id)

    @field()
    def level(self, root: strawberry.Parent[models.LogLine]) -> LogLevel:
        """Severity."""
        return LogLevel(root.level)

    @field()
    def node_id(self, root: strawberry.Parent[models.LogLine]) -> str | None:
        """The node that wrote it."""
        return root.path.rpartition("/")[2] or None


@strawberry.type
class LogEdge(Edge[LogLine]):
    """One line in a page."""


@strawberry.type
class LogConnection(Connection[LogLine, LogEdge]):
    """The lines of a run, the oldest first."""


@strawberry_django.type(models.Run, name="Execution", description="One run of one version.")
class Execution(TenantType, relay.Node):
    """A run. Its pages (`nodeRuns`, `logs`) are in `extensions`."""

    started_at: dt.datetime | None
    finished_at: dt.datetime | None

    @field()
    def workflow(self, root: strawberry.Parent[models.Run]) -> Workflow:
        """What ran."""
        row = batched(root, "workflow", workflows_of, root.workflow_id)
        if row is None:
            message = f"run {root.pk} names a workflow that is gone"
            raise LookupError(message)
        return Workflow.of(row)

    @field()
    def version(self, root: strawberry.Parent[models.Run]) -> str:
        """The version's number; "draft" for a snapshot of the draft."""
        return root.version or "draft"

    @field()
    def environment(self, root: strawberry.Parent[models.Run]) -> EnvironmentKind:
        """Where it ran."""
        return EnvironmentKind(root.environment)

    @field()
    def status(self, root: strawberry.Parent[models.Run]) -> RunStatus:
        """Where the run is."""
        return root.status

    @field()
    def trigger(self, root: strawberry.Parent[models.Run]) -> TriggerKind:
        """What started it."""
        return TriggerKind(root.trigger)

    @field()
    def duration_ms(self, root: strawberry.Parent[models.Run]) -> BigInt | None:
        """From the first claim to the end."""
        return None if root.duration is None else BigInt(round(root.duration.total_seconds() * 1e3))

    @field()
    def parameters(self, root: strawberry.Parent[models.Run]) -> JSON:
        """What it was started with."""
        return JSON(root.parameters)

    @field()
    def result(self, root: strawberry.Parent[models.Run]) -> JSON | None:
        """Outputs of the nodes that nothing follows."""
        return None if root.result is None else JSON(root.result)

    @field()
    def error(self, root: strawberry.Parent[models.Run]) -> ExecutionError | None:
        """Why it failed."""
        return ExecutionError.of(root.error) if root.error else None

    @field()
    def queued_reason(self, root: strawberry.Parent[models.Run]) -> QueuedReason | None:
        """Why the run does not go on; null when it has a worker, or waits for none."""
        if root.finished_at is not None:
            return None
        return QueuedReason.of(batched(root, "queued", of_runs, (root.pk, "")))

    @field()
    def cost(self, root: strawberry.Parent[models.Run]) -> Money | None:
        """What its attempts cost together."""
        return Money.of(root.cost_minor)

    @field()
    def predicted_finish_at(self) -> dt.datetime | None:
        """Nothing predicts yet."""
        return None

    @field()
    def sla_status(self) -> SlaStatus:
        """No promises are kept yet."""
        return SlaStatus.NONE

    @field()
    def checkpoints(self, root: strawberry.Parent[models.Run]) -> list[Checkpoint]:
        """Where each step had settled: places to go on from once the run has ended."""
        return checkpoints(root)

    @field()
    def retried_from(self, root: strawberry.Parent[models.Run]) -> Execution | None:
        """The run this one repeats."""
        if root.retried_from_id is None:
            return None
        return Execution.maybe(batched(root, "retried_from", earlier_runs, root.retried_from_id))

    @field()
    def trace_url(self) -> URL | None:
        """No tracing backend is connected."""
        return None


@strawberry.type
class ExecutionEdge(Edge[Execution]):
    """One run in a page."""


@strawberry.type
class ExecutionConnection(Connection[Execution, ExecutionEdge]):
    """Runs, the newest first."""


@strawberry.type
class ExecutionPayload(Payload):
    """The run."""

    execution: Execution | None = None


def preview(value: Any) -> Any:
    """Small values whole; of large ones the beginning of their text."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    if len(text) <= PREVIEW_CHARACTERS:
        return dict(value) if isinstance(value, Mapping) else value
    return {"$truncated": True, "characters": len(text), "text": text[:PREVIEW_CHARACTERS]}


def workflows_of(runs: tuple[models.Run, ...]) -> Mapping[Hashable, WorkflowRow]:
    """The workflows of a page of runs, by id."""
    keys = {run.workflow_id for run in runs}
    return {row.pk: row for row in WorkflowRow.objects.without_draft().filter(pk__in=keys)}


def earlier_runs(runs: tuple[models.Run, ...]) -> Mapping[Hashable, models.Run]:
    """The runs that a page of runs repeats, by id."""
    keys = {run.retried_from_id for run in runs if run.retried_from_id}
    return {row.pk: row for row in models.Run.objects.filter(pk__in=keys)}
