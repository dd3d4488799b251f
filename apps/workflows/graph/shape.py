"""The shape of a workflow document, version 1: names, types and defaults.

The JSON Schema served at /schemas/workflow/v1.json is generated from these classes. In JSON the
names are camelCase; a field that holds its default is left out, so a new field changes no hash.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from apps.workflows.graph.error_rules import ErrorRules
from apps.workflows.graph.fields import (
    DAY,
    JSON,
    Code,
    ConnectionId,
    ExpressionText,
    Identifier,
    Name,
    PortName,
    Quantity,
    Tag,
    Text,
    WorkflowName,
)

SCHEMA_VERSION = 1
MAX_NODES = 2_000
MAX_CONNECTIONS = 10_000
MAX_CONTAINER_DEPTH = 16
MAX_BYTES = 1024 * 1024


class WorkflowType(StrEnum):
    """What kind of work is drawn; decides templates and the first palette, never the engine."""

    RAG = "rag"
    AGENTIC = "agentic"
    ML = "ml"
    DATA_PIPELINE = "dataPipeline"


class CancelAction(StrEnum):
    """What becomes of what a run has done when it is canceled, or its time is over."""

    STOP = "stop"
    COMPENSATE = "compensate"


class TriggerKind(StrEnum):
    """Who may start a run; the API's names."""

    MANUAL = "MANUAL"
    SCHEDULE = "SCHEDULE"
    EVENT = "EVENT"
    API = "API"
    WEBHOOK = "WEBHOOK"
    CONDITION = "CONDITION"
    MCP = "MCP"


@dataclass(frozen=True, kw_only=True)
class Position:
    """Where the designer draws the node."""

    __pydantic_config__ = JSON
    x: float
    y: float


ORIGIN = Position(x=0, y=0)


@dataclass(frozen=True, kw_only=True)
class NodePort:
    """A port the document names itself, of a node type with dynamic ports."""

    __pydantic_config__ = JSON
    name: PortName
    id: PortName = ""
    data_type: str = "any"
    required: bool = False
    multiple: bool = False


@dataclass(frozen=True, kw_only=True)
class Retry:
    """How often and how patiently a failed attempt is repeated."""

    __pydantic_config__ = JSON
    max_attempts: Annotated[int, Field(ge=1, le=100)] = 3
    backoff_seconds: Annotated[float, Field(ge=0, le=DAY)] = 1
    multiplier: Annotated[float, Field(ge=1, le=10)] = 2
    max_backoff_seconds: Annotated[float, Field(ge=0, le=DAY)] = 60
    retry_on: tuple[Code, ...] = ("*",)


@dataclass(frozen=True, kw_only=True)
class Cache:
    """Whether a result may be taken from an earlier run with the same inputs."""

    __pydantic_config__ = JSON
    key: ExpressionText | None = None
    ttl_seconds: Annotated[int, Field(ge=0, le=366 * DAY)] = 0


@dataclass(frozen=True, kw_only=True)
class Resources:
    """What a node, or the whole run, may use; what is left out the node type or the plan says."""

    __pydantic_config__ = JSON
    cpu: Quantity | None = None
    memory: Quantity | None = None
    gpu: Quantity | None = None
    pool: Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,31}$")] | None = None
    priority: Annotated[int, Field(ge=1, le=10)] | None = None
    timeout_seconds: Annotated[int, Field(ge=1, le=30 * DAY)] | None = None
    max_concurrency: Annotated[int, Field(ge=1, le=1_000)] | None = None


@dataclass(frozen=True, kw_only=True)
class Concurrency:
    """How many steps may run at once that share a key (a text with expressions); others wait."""

    __pydantic_config__ = JSON
    key: ExpressionText | None = None
    limit: Annotated[int, Field(ge=1, le=1_000)] = 1


@dataclass(frozen=True, kw_only=True)
class Node:
    """One box."""

    __pydantic_config__ = JSON
    id: Identifier
    type: Annotated[str, Field(min_length=1, max_length=100)]
    type_version: Annotated[str, Field(pattern=r"^[0-9]{1,6}$")] = "1"
    name: Annotated[str, Field(max_length=200)] = ""
    position: Position = ORIGIN
    configuration: dict[str, Any] = field(default_factory=dict)
    inputs: Annotated[tuple[NodePort, ...], Field(max_length=100)] = ()
    outputs: Annotated[tuple[NodePort, ...], Field(max_length=100)] = ()
    parent_id: Identifier | None = None
    """Id of the container whose body this node belongs to."""
    retry: Retry | None = None
    timeout_seconds: Annotated[int, Field(ge=1, le=30 * DAY)] | None = None
    cache: Cache | None = None
    concurrency: Concurrency | None = None
    on_error: ErrorRules = ()
    compensation: Identifier | None = None
    """Id of the node that undoes this one."""
    resources: Resources = field(default_factory=Resources)
    disabled: bool = False
    notes: Text | None = None


@dataclass(frozen=True, kw_only=True)
class Connection:
    """One arrow from an output port to an input port, taken when its condition holds."""

    __pydantic_config__ = JSON
    id: ConnectionId
    source: Identifier
    source_port: PortName = ""
    target: Identifier
    target_port: PortName = ""
    condition: ExpressionText | None = None


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """When runs start by themselves."""

    __pydantic_config__ = JSON
    id: Annotated[str, Field(max_length=64)] = ""
    cron: Annotated[str, Field(min_length=1, max_length=200)]
    timezone: Annotated[str, Field(max_length=64)] = "UTC"
    enabled: bool = True


@dataclass(frozen=True, kw_only=True)
class Trigger:
    """What else starts runs."""

    __pydantic_config__ = JSON
    id: Annotated[str, Field(max_length=64)] = ""
    kind: TriggerKind
    enabled: bool = True
    config: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Parameter:
    """A value asked of whoever starts a run."""

    __pydantic_config__ = JSON
    name: Identifier
    schema: dict[str, Any] = field(default_factory=dict)
    default: Any = None
    required: bool = False
    secret: bool = False


@dataclass(frozen=True, kw_only=True)
class Sla:
    """What the run promises."""

    __pydantic_config__ = JSON
    max_duration_seconds: Annotated[int, Field(ge=1, le=366 * DAY)] | None = None


@dataclass(frozen=True, kw_only=True)
class ErrorHandler:
    """The workflow that is started with the facts when a run has failed or timed out."""

    __pydantic_config__ = JSON
    workflow: WorkflowName


def _whole_amount(value: object) -> object:
    """The API writes 64-bit integers as text."""
    return int(value) if isinstance(value, str) and value.isdecimal() else value


@dataclass(frozen=True, kw_only=True)
class Budget:
    """What one run may cost, in minor units."""

    __pydantic_config__ = JSON
    amount_minor: Annotated[int | None, Field(ge=0), BeforeValidator(_whole_amount)] = None
    currency: Annotated[str, Field(pattern=r"^[A-Z]{3}$")] = "USD"


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What holds runs of this workflow back, whoever starts them; later ones queue."""

    __pydantic_config__ = JSON
    max_runs: Annotated[int, Field(ge=1, le=10_000)] | None = None
    """At most so many are in progress: begun and not ended, those that wait included."""
    starts_per_minute: Annotated[float, Field(gt=0, le=60_000)] | None = None
    burst: Annotated[int, Field(ge=1, le=10_000)] = 1
    retries: Annotated[int, Field(ge=0, le=100_000)] | None = None
    """Of all steps of one run together; without it 1,000."""


@dataclass(frozen=True, kw_only=True)
class Configuration:
    """How the workflow as a whole runs."""

    __pydantic_config__ = JSON
    resources: Resources = field(default_factory=Resources)
    schedules: Annotated[tuple[Schedule, ...], Field(max_length=50)] = ()
    triggers: Annotated[tuple[Trigger, ...], Field(max_length=50)] = ()
    parameters: Annotated[tuple[Parameter, ...], Field(max_length=200)] = ()
    variables: dict[str, Any] = field(default_factory=dict)
    error_handler: Identifier | ErrorHandler | None = None
    """What runs when the run has failed: a workflow, or (by its id) a node of this one."""
    on_cancel: CancelAction = CancelAction.STOP
    """Whether a run that is canceled, or out of time, undoes its completed steps before it ends."""
    sla: Sla = field(default_factory=Sla)
    limits: Limits = field(default_factory=Limits)
    concurrency: Concurrency | None = None
    """Bounds together all nodes that touch the world and have no bound of their own."""
    budget: Budget = field(default_factory=Budget)


@dataclass(frozen=True, kw_only=True)
class Metadata:
    """What people say about the workflow."""

    __pydantic_config__ = JSON
    tags: Annotated[tuple[Tag, ...], Field(max_length=20)] = ()
    documentation: Annotated[str, Field(max_length=100_000)] = ""


@dataclass(frozen=True, kw_only=True)
class Claims:
    """Read-only fields that came along with a document: checked by whoever knows, never set."""

    id: str | None = None
    version: str | None = None
    status: str | None = None
    created: str | None = None
    modified: str | None = None
    author: Mapping[str, Any] | str | None = None


@dataclass(frozen=True, kw_only=True)
class Document:
    """A whole workflow."""

    __pydantic_config__ = JSON
    schema_version: Annotated[int, Field(ge=1)] = SCHEMA_VERSION
    name: Name
    type: WorkflowType
    description: Text = ""
    nodes: Annotated[tuple[Node, ...], Field(max_length=MAX_NODES)] = ()
    connections: Annotated[tuple[Connection, ...], Field(max_length=MAX_CONNECTIONS)] = ()
    configuration: Configuration = field(default_factory=Configuration)
    metadata: Metadata = field(default_factory=Metadata)
