"""What the engine asks of the world: values and protocols that adapters implement."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Protocol, TypeAlias
from uuid import UUID

from apps.executions.engine.facts import fact
from apps.executions.engine.seeds import Origin
from apps.workflows.graph.declaration import Json, NodeType
from apps.workflows.graph.document import Connection, Node
from apps.workflows.graph.mapping import MapOpening
from apps.workflows.graph.waits import Wait


class LogLevel(StrEnum):
    """Severity of one line a step wrote."""

    DEBUG = "DEBUG"
    INFO = "INFO"
    WARN = "WARN"
    ERROR = "ERROR"


class StopReason(StrEnum):
    """Why a step that still runs should stop."""

    CANCELED = "CANCELED"  # somebody canceled the run
    LEASE_LOST = "LEASE_LOST"  # another worker owns the run: nothing this step returns will count
    DRAINING = "DRAINING"  # the process stops and its grace is over


@fact
class Usage:
    """What one attempt cost: wall time in milliseconds, money in minor units of USD."""

    cpu_seconds: float = 0.0
    peak_memory_bytes: int = 0
    wall_ms: int = 0
    bytes_in: int = 0
    bytes_out: int = 0
    cost_minor: int = 0


@dataclass(frozen=True, kw_only=True)
class TransactionalWrite:
    """One declared write of a TRANSACTIONAL step to the platform's own key-value state.

    It is applied inside the append that records the step: both are durable or neither is.
    `value` of None deletes the key. Its scope is the workflow; key ≤ 200 characters, value ≤ 32
    KiB.
    """

    key: str
    value: Json


@dataclass(frozen=True, kw_only=True, slots=True)
class Inside:
    """What a container may know of the iteration that has just ended."""

    index: int
    item: Json
    inputs: Mapping[str, Json]
    """What arrived at its inner inputs."""
    upstream: Mapping[str, Mapping[str, Json]]
    """The outputs of the body, then of the nodes around it."""


@fact
class StepCall:
    """Everything one attempt of one step may know.

    `inputs` holds a value per connected input port that was taken (a list in document order for a
    port declared `multiple`); `upstream` is what `{{ nodes.<id>.<port> }}` reads: the outputs of
    every step this one depends on. `outgoing` are its outgoing connections; the runner evaluates
    the condition of each that has one, on the outputs the step produced. `deadline_at` is the
    earlier of the attempt's timeout and the run's deadline. `fence` is the token under which
    results count. `item` and `index` are those of the innermost container. `interrupted` says that
    an earlier try was cut off and left no outcome: RECONCILABLE nodes ask `find(key)` first.
    """

    tenant_id: UUID
    run_id: UUID
    lineage_id: UUID
    workflow_id: UUID
    environment: str  # DEVELOPMENT | STAGING | PRODUCTION
    environment_id: UUID
    node: Node
    node_type: NodeType
    path: str
    attempt: int
    generation: int
    inputs: Mapping[str, Json]
    parameters: Mapping[str, Json]
    variables: Mapping[str, Json]
    upstream: Mapping[str, Mapping[str, Json]]
    outgoing: tuple[Connection, ...]
    started_at: datetime
    deadline_at: datetime
    fence: UUID
    index: int = 0
    item: Json = None
    inside: Inside | None = None
    """Of a container, from its second turn on."""
    interrupted: bool = False
    installation_id: UUID | None = None
    scope: str = ""
    """Where its run stands in those above, if that is an item of a map."""
    given: StepDone | StepFailed | None = None
    """What the step came to elsewhere: nothing runs, its conditions are evaluated on this."""
    unsure: str | None = None
    """With which code its last attempt was cut off: it is asked for once more, and sent no more."""

    @property
    def idempotency_key(self) -> str:
        """Stable over attempts and worker deaths: what a KEYED effect sends to the far side."""
        path = self.scope + self.path
        return f"{self.tenant_id}/{self.lineage_id}/{path}/{self.index}/{self.generation}"


@fact
class StepDone:
    """An attempt that succeeded. An output port that is absent from `outputs` was not taken.

    Values over 32 KiB must be artifact references: the runner stores them before it returns.
    `conditions` has the outcome of every outgoing connection with a condition whose port was taken.
    """

    outputs: Mapping[str, Json]
    conditions: Mapping[str, bool] = field(default_factory=dict)
    usage: Usage = field(default_factory=Usage)
    writes: tuple[TransactionalWrite, ...] = ()
    signal: str | None = None
    """The signal that ended its wait."""
    origin: Origin | None = None
    """None when the step ran."""
    text: str | None = field(default=None, compare=False)
    """The outputs as compact JSON, where whoever gave them has made it already."""


class Decided(StrEnum):
    """What somebody has said of a failure."""

    FAIL = "FAIL"
    AGAIN = "AGAIN"
    UNHELPED = "UNHELPED"  # the workflow that was to stand in has failed too


@dataclass(frozen=True, kw_only=True)
class StepFailed:
    """An attempt that failed. `code` is stable (NodeError.code, STEP_TIMEOUT, NODE_CRASHED …).

    `conditions` has the outcome of conditions on connections that leave by the `error` port,
    where `nodes.<id>.error` is {code, message, nodeId, attempt}.
    """

    code: str
    message: str
    retryable: bool = False
    retry_after_seconds: float | None = None
    details: Mapping[str, Json] = field(default_factory=dict)
    conditions: Mapping[str, bool] = field(default_factory=dict)
    usage: Usage = field(default_factory=Usage)
    decided: Decided | None = None
    """Set when a person has decided: nobody is asked again, and no retry comes by itself."""


@dataclass(frozen=True, kw_only=True)
class StepStopped:
    """An attempt that obeyed a stop: it has no outcome and is never recorded as a failure."""

    reason: StopReason
    usage: Usage = field(default_factory=Usage)


@dataclass(frozen=True, kw_only=True)
class StepWaits:
    """An attempt that goes on when somebody answers or its time comes; until then nothing runs."""

    wait: Wait
    usage: Usage = field(default_factory=Usage)


@dataclass(frozen=True, kw_only=True)
class StepRepeats:
    """A container opens its body (again): values by inner output port."""

    values: Mapping[str, Json]
    index: int = 0
    """How many it has opened before; whoever owns the run knows."""
    usage: Usage = field(default_factory=Usage)


@dataclass(frozen=True, kw_only=True)
class StepOpens:
    """An attempt that opened a map: its items are worked on elsewhere, then it is concluded."""

    opening: MapOpening
    usage: Usage = field(default_factory=Usage)


StepOutcome: TypeAlias = StepDone | StepFailed | StepStopped | StepWaits | StepRepeats | StepOpens


class StopSignal(Protocol):
    """Asked by the runner while a step runs; cheap, thread safe."""

    def stopped(self) -> StopReason | None:
        """None while the step should go on."""

    def wait(self, *, seconds: float) -> StopReason | None:
        """Sleep at most that long, return early with the reason when the step should stop."""


class LogSink(Protocol):
    """Where one attempt writes: bound to it, thread safe, never blocks, never raises.

    Lines have their own sequence beside history; over 1 MiB the rest is dropped with one notice.
    """

    def log(self, message: str, *, level: LogLevel, fields: Mapping[str, Json]) -> None:
        """One line of text, already redacted."""

    def metric(self, name: str, *, value: float) -> None:
        """One sample of a named number."""

    def progress(self, *, done: int, total: int | None) -> None:
        """How far the step is; only the latest is kept."""


class StepRunner(Protocol):
    """Executes one attempt: resolves `{{ }}`, calls the node within its limits, checks conditions.

    Synchronous, thread safe, never raises: whatever goes wrong becomes a StepFailed.
    """

    def ready(
        self, call: StepCall, *, stop: StopSignal, logs: LogSink
    ) -> Callable[[], StepOutcome]:
        """All that touches nothing; what is returned, called at most once, does the rest.

        It blocks until the attempt has an outcome or obeyed a stop.
        """

    def close(self) -> None:
        """End child processes and loops; called once, after the last step returned."""
