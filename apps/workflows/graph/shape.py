"""The shape of a workflow document, version 1: names, types, bounds and defaults, in one place.

The JSON Schema served at /schemas/workflow/v1.json is generated from these classes. In JSON the
names are camelCase; a field that holds its default is left out, so a new field changes no hash.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Annotated, Any, TypeAlias

from pydantic import BeforeValidator, ConfigDict, Field, PlainSerializer
from pydantic.alias_generators import to_camel

SCHEMA_VERSION = 1
MAX_NODES = 2_000
MAX_CONNECTIONS = 10_000
MAX_CONTAINER_DEPTH = 16
MAX_BYTES = 1024 * 1024
DAY = 86_400

ID_PATTERN = r"^[A-Za-z_][A-Za-z0-9_]{0,63}$"
_JSON = ConfigDict(extra="forbid", alias_generator=to_camel, use_attribute_docstrings=True)

Identifier: TypeAlias = Annotated[str, Field(pattern=ID_PATTERN)]
ConnectionId: TypeAlias = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.:-]{1,128}$")]
PortName: TypeAlias = Annotated[str, Field(pattern=r"^([a-z][a-zA-Z0-9_]{0,63})?$")]
Name: TypeAlias = Annotated[str, Field(min_length=1, max_length=200)]
Text: TypeAlias = Annotated[str, Field(max_length=20_000)]
ExpressionText: TypeAlias = Annotated[str, Field(min_length=1, max_length=4_096)]
Quantity: TypeAlias = Annotated[str, Field(pattern=r"^[0-9]+(\.[0-9]+)?(m|[KMGT]i?)?$")]
Tag: TypeAlias = Annotated[str, Field(min_length=1, max_length=50)]
WorkflowName: TypeAlias = Annotated[str, Field(min_length=1, max_length=200)]
"""Id of a workflow of the same organization."""
Code: TypeAlias = Annotated[str, Field(pattern=r"^[A-Z0-9_*]{1,64}$")]


class WorkflowType(StrEnum):
    """What kind of work is drawn; decides templates and the first palette, never the engine."""

    RAG = "rag"
    AGENTIC = "agentic"
    ML = "ml"
    DATA_PIPELINE = "dataPipeline"


class ErrorAction(StrEnum):
    """What becomes of a step whose retries are spent."""

    FAIL = "fail"
    CONTINUE = "continue"
    ROUTE = "route"
    FALLBACK = "fallback"
    COMPENSATE = "compensate"
    ESCALATE = "escalate"


class ErrorClass(StrEnum):
    """What kind of failure it was; a failure may be of several."""

    RETRYABLE = "retryable"
    PERMANENT = "permanent"
    TIMEOUT = "timeout"
    RATE_LIMIT = "rateLimit"
    UNAVAILABLE = "unavailable"
    INVALID = "invalid"
    CRASH = "crash"
    IN_DOUBT = "inDoubt"


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

    __pydantic_config__ = _JSON
    x: float
    y: float


ORIGIN = Position(x=0, y=0)


@dataclass(frozen=True, kw_only=True)
class NodePort:
    """A port the document names itself, of a node type with dynamic ports."""

    __pydantic_config__ = _JSON
    name: PortName
    id: PortName = ""
    data_type: str = "any"
    required: bool = False
    multiple: bool = False


@dataclass(frozen=True, kw_only=True)
class Retry:
    """How often and how patiently a failed attempt is repeated."""

    __pydantic_config__ = _JSON
    max_attempts: Annotated[int, Field(ge=1, le=100)] = 3
    backoff_seconds: Annotated[float, Field(ge=0, le=DAY)] = 1
    multiplier: Annotated[float, Field(ge=1, le=10)] = 2
    max_backoff_seconds: Annotated[float, Field(ge=0, le=DAY)] = 60
    retry_on: tuple[Code, ...] = ("*",)


@dataclass(frozen=True, kw_only=True)
class Cache:
    """Whether a result may be taken from an earlier run with the same inputs."""

    __pydantic_config__ = _JSON
    key: ExpressionText | None = None
    ttl_seconds: Annotated[int, Field(ge=0, le=366 * DAY)] = 0


@dataclass(frozen=True, kw_only=True)
class Resources:
    """What a node, or the whole run, may use; what is left out the node type or the plan says."""

    __pydantic_config__ = _JSON
    cpu: Quantity | None = None
    memory: Quantity | None = None
    gpu: Quantity | None = None
    pool: Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,31}$")] | None = None
    priority: Annotated[int, Field(ge=1, le=10)] | None = None
    timeout_seconds: Annotated[int, Field(ge=1, le=30 * DAY)] | None = None
    max_concurrency: Annotated[int, Field(ge=1, le=1_000)] | None = None


@dataclass(frozen=True, kw_only=True)
class ErrorMatch:
    """Which failures a rule is for: one of the codes AND one of the classes.

    `*` in a code stands for any characters; a list that is empty asks for nothing.
    """

    __pydantic_config__ = _JSON
    codes: tuple[Code, ...] = ()
    classes: tuple[ErrorClass, ...] = ()


@dataclass(frozen=True, kw_only=True)
class ErrorArguments:
    """What an action needs.

    Who takes over (fallback: `node` or `workflow`), what begins the alternative path (compensate:
    `then`), how long people have (escalate: `timeoutSeconds`).
    """

    __pydantic_config__ = _JSON
    node: Identifier | None = None
    workflow: WorkflowName | None = None
    then: Identifier | None = None
    timeout_seconds: Annotated[int, Field(ge=1, le=366 * DAY)] | None = None


@dataclass(frozen=True, kw_only=True)
class ErrorRule:
    """The first rule that matches decides."""

    __pydantic_config__ = _JSON
    match: ErrorMatch = field(default_factory=ErrorMatch)
    do: ErrorAction
    arguments: Annotated[ErrorArguments, Field(alias="with")] = field(
        default_factory=ErrorArguments
    )


SHORT_ACTIONS = (ErrorAction.FAIL, ErrorAction.CONTINUE, ErrorAction.ROUTE)
"""What `onError` may say in one word."""


def _rules_json(rules: "tuple[ErrorRule, ...]") -> object:
    match rules:
        case (ErrorRule() as only,) if only == ErrorRule(do=only.do) and only.do in SHORT_ACTIONS:
            return only.do.value
    return [_rule_json(rule) for rule in rules]


def _rule_json(rule: ErrorRule) -> dict[str, object]:
    given = rule.arguments
    pairs = (
        ("node", given.node),
        ("workflow", given.workflow),
        ("then", given.then),
        ("timeoutSeconds", given.timeout_seconds),
    )
    arguments = {name: value for name, value in pairs if value is not None}
    match: dict[str, object] = {"codes": list(rule.match.codes)} if rule.match.codes else {}
    if rule.match.classes:
        match["classes"] = [one.value for one in rule.match.classes]
    return {"match": match, "do": rule.do.value, **({"with": arguments} if arguments else {})}


ErrorRules: TypeAlias = Annotated[
    tuple[ErrorRule, ...],
    Field(max_length=20),
    PlainSerializer(_rules_json),
]


@dataclass(frozen=True, kw_only=True)
class Concurrency:
    """How many steps may run at once that share a key (a text with expressions); others wait."""

    __pydantic_config__ = _JSON
    key: ExpressionText | None = None
    limit: Annotated[int, Field(ge=1, le=1_000)] = 1


@dataclass(frozen=True, kw_only=True)
class Node:
    """One box."""

    __pydantic_config__ = _JSON
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

    __pydantic_config__ = _JSON
    id: ConnectionId
    source: Identifier
    source_port: PortName = ""
    target: Identifier
    target_port: PortName = ""
    condition: ExpressionText | None = None


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """When runs start by themselves."""

    __pydantic_config__ = _JSON
    id: Annotated[str, Field(max_length=64)] = ""
    cron: Annotated[str, Field(min_length=1, max_length=200)]
    timezone: Annotated[str, Field(max_length=64)] = "UTC"
    enabled: bool = True


@dataclass(frozen=True, kw_only=True)
class Trigger:
    """What else starts runs."""

    __pydantic_config__ = _JSON
    id: Annotated[str, Field(max_length=64)] = ""
    kind: TriggerKind
    enabled: bool = True
    config: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Parameter:
    """A value asked of whoever starts a run."""

    __pydantic_config__ = _JSON
    name: Identifier
    schema: dict[str, Any] = field(default_factory=dict)
    default: Any = None
    required: bool = False
    secret: bool = False


@dataclass(frozen=True, kw_only=True)
class Sla:
    """What the run promises."""

    __pydantic_config__ = _JSON
    max_duration_seconds: Annotated[int, Field(ge=1, le=366 * DAY)] | None = None


@dataclass(frozen=True, kw_only=True)
class ErrorHandler:
    """The workflow that is started with the facts when a run has failed or timed out."""

    __pydantic_config__ = _JSON
    workflow: WorkflowName


def _whole_amount(value: object) -> object:
    """The API writes 64-bit integers as text."""
    return int(value) if isinstance(value, str) and value.isdecimal() else value


@dataclass(frozen=True, kw_only=True)
class Budget:
    """What one run may cost, in minor units."""

    __pydantic_config__ = _JSON
    amount_minor: Annotated[int | None, Field(ge=0), BeforeValidator(_whole_amount)] = None
    currency: Annotated[str, Field(pattern=r"^[A-Z]{3}$")] = "USD"


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What holds runs of this workflow back, whoever starts them; later ones queue."""

    __pydantic_config__ = _JSON
    max_runs: Annotated[int, Field(ge=1, le=10_000)] | None = None
    """At most so many are in progress: begun and not ended, those that wait included."""
    starts_per_minute: Annotated[float, Field(gt=0, le=60_000)] | None = None
    burst: Annotated[int, Field(ge=1, le=10_000)] = 1


@dataclass(frozen=True, kw_only=True)
class Configuration:
    """How the workflow as a whole runs."""

    __pydantic_config__ = _JSON
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

    __pydantic_config__ = _JSON
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

    __pydantic_config__ = _JSON
    schema_version: Annotated[int, Field(ge=1)] = SCHEMA_VERSION
    name: Name
    type: WorkflowType
    description: Text = ""
    nodes: Annotated[tuple[Node, ...], Field(max_length=MAX_NODES)] = ()
    connections: Annotated[tuple[Connection, ...], Field(max_length=MAX_CONNECTIONS)] = ()
    configuration: Configuration = field(default_factory=Configuration)
    metadata: Metadata = field(default_factory=Metadata)
