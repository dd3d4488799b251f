"""What a node may touch while it runs, on the worker's side."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

from apps.executions.engine.ports import LogLevel, LogSink, StepCall, StopReason, TransactionalWrite
from apps.executions.runner import json_values, values
from apps.executions.runner.directory import WorkDirectory
from apps.executions.runner.files import StepArtifacts
from apps.executions.runner.http import GuardedHttp
from apps.executions.runner.secrets import SecretBook
from apps.executions.sandbox import SCRIPT_LIMITS, Sandbox, SandboxCode, SandboxError
from apps.workflows.graph.context import NodeError, Secret
from apps.workflows.graph.declaration import Effect, Iteration

MAX_WRITES = 100
MAX_KEY = 200
MAX_COST = 10**12
"""Minor units: what is summed over many steps has to stay a number that is stored."""
_MAX_FIELDS = 50
_MAX_TEXT = 8_000
_RETRYABLE = frozenset({SandboxCode.SANDBOX_BUSY, SandboxCode.SANDBOX_UNAVAILABLE})


class StepLog:
    """Lines of this attempt; secrets are masked before they leave the runner."""

    def __init__(self, sink: LogSink, *, book: SecretBook) -> None:
        self._sink = sink
        self._book = book

    def debug(self, message: str, **fields: Any) -> None:
        """A line for the node's author."""
        self.line(LogLevel.DEBUG, message, fields)

    def info(self, message: str, **fields: Any) -> None:
        """A line for whoever runs the workflow."""
        self.line(LogLevel.INFO, message, fields)

    def warning(self, message: str, **fields: Any) -> None:
        """Something went on, but not as it should."""
        self.line(LogLevel.WARN, message, fields)

    def error(self, message: str, **fields: Any) -> None:
        """Something did not work."""
        self.line(LogLevel.ERROR, message, fields)

    def line(self, level: LogLevel, message: str, fields: Mapping[str, Any]) -> None:
        """One line of any severity, cut to a bearable size."""
        plain = {str(name): _plain(fields[name]) for name in list(fields)[:_MAX_FIELDS]}
        self._sink.log(
            self._book.hide(str(message))[:_MAX_TEXT], level=level, fields=self._book.hide(plain)
        )


def _plain(value: Any) -> Any:
    match value:
        case None | bool() | int():
            return value
        case float() if math.isfinite(value):
            return value
        case list() | tuple():
            return [_plain(item) for item in value[:_MAX_FIELDS]]
        case Mapping():
            return {str(key): _plain(value[key]) for key in list(value)[:_MAX_FIELDS]}
    return str(value)[:_MAX_TEXT]


class Parts(Protocol):
    """What a context stands on; the parts a step does not touch need not exist."""

    call: StepCall
    sink: LogSink
    book: SecretBook
    sandbox: Sandbox

    @property
    def http(self) -> GuardedHttp:
        """The step's client."""

    @property
    def artifacts(self) -> StepArtifacts:
        """The step's objects."""

    @property
    def directory(self) -> WorkDirectory:
        """The attempt's place on disk."""

    def stopped(self) -> StopReason | None:
        """Why to stop, None while the step should go on."""

    def seconds_left(self) -> float:
        """Until the attempt's deadline."""


class StepContext:
    """NodeContext of one attempt."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self.script_seconds = 0.0
        self.writes: dict[str, TransactionalWrite] = {}
        self.cost_minor = 0

    @property
    def http(self) -> GuardedHttp:
        """The client of this attempt."""
        return self._parts.http

    @property
    def artifacts(self) -> StepArtifacts:
        """The tenant's objects."""
        return self._parts.artifacts

    @property
    def log(self) -> StepLog:
        """The run's log."""
        return StepLog(self._parts.sink, book=self._parts.book)

    @property
    def idempotency_key(self) -> str:
        """The same for every attempt of this step."""
        return self._parts.call.idempotency_key

    @property
    def deadline(self) -> datetime:
        """When the attempt must be over."""
        return self._parts.call.deadline_at

    @property
    def environment(self) -> str:
        """DEVELOPMENT, STAGING or PRODUCTION."""
        return self._parts.call.environment

    @property
    def iteration(self) -> Iteration | None:
        """What has just ended in a container that repeats."""
        inside = self._parts.call.inside
        return None if inside is None else Iteration(inside.index, inside.item)

    @property
    def work_directory(self) -> Path:
        """An empty directory of this attempt's own."""
        return self._parts.directory.path

    def secret(self, name: str) -> Secret:
        """The opaque secret; NodeError when this step may not use it."""
        return self._parts.book.handle(name)

    def script(self, source: str, *, inputs: Mapping[str, Any]) -> Any:
        """Run tenant code in the sandbox; what it prints is logged."""
        limits = SCRIPT_LIMITS.within(seconds=max(0.01, self._parts.seconds_left()))
        began = time.monotonic()
        try:
            ran = self._parts.sandbox.run_script(source, inputs=inputs, limits=limits)
        except SandboxError as error:
            raise script_refusal(error) from None
        finally:
            # It cannot sleep and asks nobody: it computes as long as it runs.
            self.script_seconds += time.monotonic() - began
        for line in ran.printed.splitlines():
            self.log.info(line)
        return ran.value

    def write(self, key: str, value: Any) -> None:
        """Declare a write that the commit of this step applies."""
        if self._parts.call.node_type.effect is not Effect.TRANSACTIONAL:
            raise NodeError("WRITE_NOT_DECLARED", "Only TRANSACTIONAL nodes write state.")
        if not key or len(key) > MAX_KEY or len(self.writes) >= MAX_WRITES:
            raise NodeError(
                "WRITE_INVALID",
                f"A step writes at most {MAX_WRITES} keys of at most {MAX_KEY} characters.",
            )
        plain = json_values.plain(value, where=f"the write to {key}")
        if json_values.size(plain) > values.INLINE_BYTES:
            raise NodeError(
                "WRITE_INVALID", f"A written value has at most {values.INLINE_BYTES} bytes."
            )
        self.writes[key] = TransactionalWrite(key=key, value=self._parts.book.hide(plain))

    def progress(self, done: float, total: float) -> None:
        """How far the step is."""
        self._parts.sink.progress(done=int(done), total=int(total) if total else None)

    def metric(self, name: str, value: float) -> None:
        """One sample of a named number; what is no finite number is left out."""
        number = _plain(float(value))
        if isinstance(number, float):
            self._parts.sink.metric(self._parts.book.hide(str(name))[:100], value=number)

    def cost(self, amount_minor: int, *, currency: str = "USD") -> None:
        """Add to what the step cost."""
        if amount_minor < 0 or self.cost_minor + amount_minor > MAX_COST:
            raise NodeError("COST_INVALID", f"A step costs from 0 to {MAX_COST} minor units.")
        if currency != "USD":
            raise NodeError("COST_INVALID", "A cost is given in USD.")
        self.cost_minor += int(amount_minor)

    def cancelled(self) -> bool:
        """Whether to stop at the next good moment."""
        return self._parts.stopped() is not None


def script_refusal(error: SandboxError) -> NodeError:
    """The node's error for code that the sandbox stopped."""
    where = f" (line {error.line})" if error.line is not None else ""
    code = str(error.code).replace("EXPRESSION_", "SCRIPT_")
    return NodeError(
        code, f"{error.message}{where}", retryable=error.retryable or error.code in _RETRYABLE
    )
