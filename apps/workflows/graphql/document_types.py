"""The parts of a workflow document as the API shows them: a view of it, never a lossy copy."""

from __future__ import annotations

import strawberry
from strawberry.scalars import JSON

from apps.kit.graphql.money import Money
from apps.kit.graphql.scalars import URL
from apps.workflows.graph import catalogue, shape
from apps.workflows.graph.interface import interface_of
from apps.workflows.graph.shape import TriggerKind
from apps.workflows.graphql.catalogue_types import NodePort

strawberry.enum(TriggerKind, name="TriggerKind")


@strawberry.type
class Position:
    """Where the designer draws a node."""

    x: float
    y: float


@strawberry.type
class ResourceRequirements:
    """What a node or a run may use; null leaves it to the node type or the plan."""

    cpu: str | None = None
    memory: str | None = None
    gpu: str | None = None
    pool: str | None = None
    priority: int | None = None
    timeout_seconds: int | None = None
    max_concurrency: int | None = None

    @classmethod
    def of(cls, resources: shape.Resources) -> ResourceRequirements:
        """The document's resources as this type."""
        return cls(
            cpu=resources.cpu,
            memory=resources.memory,
            gpu=resources.gpu,
            pool=resources.pool,
            priority=resources.priority,
            timeout_seconds=resources.timeout_seconds,
            max_concurrency=resources.max_concurrency,
        )


@strawberry.type
class WorkflowNode:
    """One box of the graph."""

    id: str
    type: str
    type_version: str
    name: str
    position: Position
    configuration: JSON
    inputs: list[NodePort]
    outputs: list[NodePort]
    parent_id: str | None
    retry: JSON | None
    timeout_seconds: int | None
    cache: JSON | None
    concurrency: JSON | None
    on_error: JSON | None
    compensation: str | None
    resources: ResourceRequirements | None
    disabled: bool
    notes: str | None

    @classmethod
    def of(cls, node: shape.Node, written: dict[str, object]) -> WorkflowNode:
        """A node, and the same as JSON for the fields that are shown as written."""
        node_type = catalogue.get(node.type, node.type_version)
        ports = interface_of(node, node_type) if node_type is not None else None
        return cls(
            id=node.id,
            type=node.type,
            type_version=node.type_version,
            name=node.name or (node_type.title if node_type else node.id),
            position=Position(x=node.position.x, y=node.position.y),
            configuration=JSON(node.configuration),
            inputs=[NodePort.of(*port) for port in ports.inputs.items()] if ports else [],
            outputs=[NodePort.of(*port) for port in ports.outputs.items()] if ports else [],
            parent_id=node.parent_id,
            retry=_as_written(written, "retry"),
            timeout_seconds=node.timeout_seconds,
            cache=_as_written(written, "cache"),
            concurrency=_as_written(written, "concurrency"),
            on_error=_as_written(written, "onError"),
            compensation=node.compensation,
            resources=ResourceRequirements.of(node.resources),
            disabled=node.disabled,
            notes=node.notes,
        )


@strawberry.type
class WorkflowConnection:
    """One arrow of the graph."""

    id: str
    source: str
    source_port: str
    target: str
    target_port: str
    condition: str | None

    @classmethod
    def of(cls, one: shape.Connection) -> WorkflowConnection:
        """The document's connection as this type."""
        return cls(
            id=one.id,
            source=one.source,
            source_port=one.source_port,
            target=one.target,
            target_port=one.target_port,
            condition=one.condition,
        )


@strawberry.type
class Schedule:
    """When runs start by themselves."""

    id: strawberry.ID
    cron: str
    timezone: str
    enabled: bool


@strawberry.type
class Trigger:
    """What else starts runs."""

    id: strawberry.ID
    kind: TriggerKind
    enabled: bool
    config: JSON
    url: URL | None = None


@strawberry.type
class Parameter:
    """A value asked of whoever starts a run."""

    name: str
    schema: JSON
    default: JSON | None
    required: bool
    secret: bool


@strawberry.type
class WorkflowConfiguration:
    """How the workflow as a whole runs."""

    resources: ResourceRequirements
    schedules: list[Schedule]
    triggers: list[Trigger]
    parameters: list[Parameter]
    variables: JSON
    error_handler: JSON | None
    sla: JSON | None
    limits: JSON | None
    budget: Money | None

    @classmethod
    def of(cls, configuration: shape.Configuration) -> WorkflowConfiguration:
        """The document's configuration as this type."""
        handler = configuration.error_handler
        budget, longest = configuration.budget, configuration.sla.max_duration_seconds
        return cls(
            resources=ResourceRequirements.of(configuration.resources),
            schedules=[
                Schedule(
                    id=strawberry.ID(one.id or str(number)),
                    cron=one.cron,
                    timezone=one.timezone,
                    enabled=one.enabled,
                )
                for number, one in enumerate(configuration.schedules)
            ],
            triggers=[
                Trigger(
                    id=strawberry.ID(one.id or str(number)),
                    kind=one.kind,
                    enabled=one.enabled,
                    config=JSON(one.config),
                )
                for number, one in enumerate(configuration.triggers)
            ],
            parameters=[
                Parameter(
                    name=one.name,
                    schema=JSON(one.schema),
                    default=None if one.default is None else JSON(one.default),
                    required=one.required,
                    secret=one.secret,
                )
                for one in configuration.parameters
            ],
            variables=JSON(configuration.variables),
            error_handler=(
                JSON({"workflow": handler.workflow})
                if isinstance(handler, shape.ErrorHandler)
                else JSON(handler)
                if handler
                else None
            ),
            sla=JSON({"maxDurationSeconds": longest}) if longest else None,
            limits=_limits(configuration.limits),
            budget=(
                Money.of(budget.amount_minor, budget.currency)
                if budget.amount_minor is not None
                else None
            ),
        )


def _limits(limits: shape.Limits) -> JSON | None:
    if limits == shape.Limits():
        return None
    names = {
        "maxRuns": limits.max_runs,
        "startsPerMinute": limits.starts_per_minute,
        "burst": limits.burst,
        "retries": limits.retries,
    }
    return JSON(names)


def _as_written(written: dict[str, object], name: str) -> JSON | None:
    return JSON(written[name]) if name in written else None
