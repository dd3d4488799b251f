"""Stand-ins for a node's surroundings: no database, no engine, no network beyond loopback."""

from __future__ import annotations

import datetime as dt
import hashlib
import io
import threading
import uuid
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, BinaryIO

from apps.executions.engine.ports import LogLevel, StepCall, StopReason
from apps.executions.runner.doors import Doors
from apps.kit.egress import EgressClient, EgressPolicy
from apps.workflows.graph import catalogue
from apps.workflows.graph.context import ArtifactRef
from apps.workflows.graph.declaration import NodeType
from apps.workflows.graph.shape import Connection, Node


class MemoryObjects:
    """An object store in a dictionary."""

    def __init__(self) -> None:
        self.stored: dict[str, bytes] = {}

    def open(self, reference: ArtifactRef) -> BinaryIO:
        return io.BytesIO(self.stored[reference.digest])

    def put(self, content: BinaryIO, *, media_type: str) -> ArtifactRef:
        data = content.read()
        digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
        self.stored[digest] = data
        return ArtifactRef(digest=digest, media_type=media_type, bytes=len(data))

    def read(self, reference: Mapping[str, Any]) -> bytes:
        return self.stored[reference["$artifact"]]


class MemorySecrets:
    """A vault in a dictionary; remembers what was opened."""

    def __init__(self, values: Mapping[str, str] | None = None) -> None:
        self._values = dict(values or {})
        self.opened: list[str] = []

    def open(self, name: str) -> str:
        self.opened.append(name)
        return self._values[name]


@dataclass
class Surroundings:
    """Everything outside the step, in memory; loopback ports listed here may be reached."""

    objects: MemoryObjects = field(default_factory=MemoryObjects)
    secrets: MemorySecrets = field(default_factory=MemorySecrets)
    loopback: frozenset[tuple[str, int]] = frozenset()

    def doors(self, call: StepCall) -> Doors:
        return Doors(secrets=self.secrets, objects=self.objects, egress=self._egress)

    def _egress(self, hosts: frozenset[str]) -> AbstractContextManager[EgressClient]:
        return EgressClient(EgressPolicy(hosts=hosts, loopback=self.loopback))


class Logs:
    """A LogSink that keeps everything."""

    def __init__(self) -> None:
        self.lines: list[tuple[LogLevel, str, Mapping[str, Any]]] = []
        self.metrics: dict[str, float] = {}
        self.done: list[tuple[int, int | None]] = []

    def log(self, message: str, *, level: LogLevel, fields: Mapping[str, Any]) -> None:
        self.lines.append((level, message, fields))

    def metric(self, name: str, *, value: float) -> None:
        self.metrics[name] = value

    def progress(self, *, done: int, total: int | None) -> None:
        self.done.append((done, total))

    @property
    def text(self) -> str:
        return "\n".join(f"{line} {fields}" for _, line, fields in self.lines)


class Stop:
    """A StopSignal that a test may raise."""

    def __init__(self) -> None:
        self._event = threading.Event()
        self._reason: StopReason | None = None

    def set(self, reason: StopReason) -> None:
        self._reason = reason
        self._event.set()

    def stopped(self) -> StopReason | None:
        return self._reason

    def wait(self, *, seconds: float) -> StopReason | None:
        self._event.wait(seconds)
        return self._reason


_TENANT, _WORKFLOW, _RUN = uuid.uuid4(), uuid.uuid4(), uuid.uuid4()


def step_call(
    node_type: NodeType | str,
    *,
    configuration: Mapping[str, Any] | None = None,
    inputs: Mapping[str, Any] | None = None,
    node: Node | None = None,
    seconds: float = 60,
    outgoing: tuple[Connection, ...] = (),
    parameters: Mapping[str, Any] | None = None,
    variables: Mapping[str, Any] | None = None,
    upstream: Mapping[str, Mapping[str, Any]] | None = None,
) -> StepCall:
    """One attempt of one node, everything else filled in."""
    if isinstance(node_type, str):
        found = catalogue.get(node_type)
        assert found is not None, node_type
        node_type = found
    node = node or Node(id="step", type=node_type.type, configuration=dict(configuration or {}))
    now = dt.datetime.now(dt.UTC)
    return StepCall(
        tenant_id=_TENANT,
        run_id=_RUN,
        lineage_id=_RUN,
        workflow_id=_WORKFLOW,
        environment="DEVELOPMENT",
        environment_id=uuid.uuid4(),
        node=node,
        node_type=node_type,
        path=node.id,
        attempt=1,
        generation=0,
        inputs=dict(inputs or {}),
        parameters=dict(parameters or {}),
        variables=dict(variables or {}),
        upstream=dict(upstream or {}),
        outgoing=outgoing,
        started_at=now,
        deadline_at=now + dt.timedelta(seconds=seconds),
        fence=uuid.uuid4(),
    )
