"""The context of a step in its own process: all it does is asked of the worker."""

from __future__ import annotations

import base64
import contextlib
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import IO, Any, BinaryIO

from apps.executions.runner.answers import Answer
from apps.executions.runner.process.channel import Channel
from apps.workflows.graph.context import ArtifactRef, NodeContext, NodeError

_COPY = 1 << 20


def remote_context(channel: Channel, call: Mapping[str, Any]) -> NodeContext:
    """A NodeContext that holds no key, no connection and no address of the platform."""
    return _Context(channel, call)


@dataclass(frozen=True)
class _Reference:
    """A secret by name; its value never enters this process."""

    name: str

    def __str__(self) -> str:
        return "[secret]"


class _Context:
    """One object plays context, HTTP client and artifacts: all of them only ask."""

    def __init__(self, channel: Channel, call: Mapping[str, Any]) -> None:
        self._channel = channel
        self._call = call

    @property
    def http(self) -> _Context:
        return self

    @property
    def artifacts(self) -> _Context:
        return self

    @property
    def log(self) -> _RemoteLog:
        return _RemoteLog(self._channel)

    @property
    def idempotency_key(self) -> str:
        return str(self._call["idempotencyKey"])

    @property
    def deadline(self) -> datetime:
        return datetime.fromisoformat(self._call["deadline"])

    @property
    def environment(self) -> str:
        return str(self._call["environment"])

    @property
    def iteration(self) -> None:
        # Containers run beside their engine.
        return None

    @property
    def work_directory(self) -> Path:
        return Path(self._call["workDirectory"])

    def secret(self, name: str) -> _Reference:
        return _Reference(self._ask({"op": "secret", "name": name})["name"])

    def script(self, source: str, *, inputs: Mapping[str, Any]) -> Any:
        return self._ask({"op": "script", "source": source, "inputs": dict(inputs)})["value"]

    def write(self, key: str, value: Any) -> None:
        self._ask({"op": "write", "key": key, "value": value})

    def progress(self, done: float, total: float) -> None:
        self._channel.send({"op": "progress", "done": done, "total": total})

    def metric(self, name: str, value: float) -> None:
        self._channel.send({"op": "metric", "name": name, "value": float(value)})

    def cost(self, amount_minor: int, *, currency: str = "USD") -> None:
        self._channel.send({"op": "cost", "amount": int(amount_minor), "currency": currency})

    def cancelled(self) -> bool:
        """Never: a process is simply ended."""
        return False

    def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, Any] | None = None,
        params: Mapping[str, str] | None = None,
        json: Any = None,
        content: bytes | None = None,
        timeout_seconds: float | None = None,
    ) -> Answer:
        plain = {
            name: {"secret": value.name} if isinstance(value, _Reference) else str(value)
            for name, value in (headers or {}).items()
        }
        answer = self._ask(
            {
                "op": "http",
                "method": method,
                "url": url,
                "headers": plain,
                "params": dict(params) if params else None,
                "json": json,
                "content": base64.b64encode(content).decode() if content is not None else None,
                "timeout": timeout_seconds,
            }
        )
        return Answer(answer["status"], answer["headers"], base64.b64decode(answer["content"]))

    def open(self, reference: ArtifactRef) -> BinaryIO:
        return self.path(reference).open("rb")

    def path(self, reference: ArtifactRef) -> Path:
        answer = self._ask({"op": "open", "reference": reference.to_json()})
        return self.work_directory / str(answer["file"])

    def put(self, content: bytes | BinaryIO | Path, *, media_type: str) -> ArtifactRef:
        name = f"put-{os.urandom(8).hex()}"
        target = self.work_directory / name
        if isinstance(content, Path):
            shutil.copyfile(content, target)
        else:
            with target.open("wb") as file:
                _copy(content, file)
        try:
            answer = self._ask({"op": "put", "file": name, "mediaType": media_type})
        finally:
            with contextlib.suppress(OSError):
                target.unlink()
        return ArtifactRef.from_json(answer["reference"])

    def _ask(self, message: Mapping[str, Any]) -> dict[str, Any]:
        self._channel.send(message)
        answer = self._channel.receive()
        if answer is None:
            raise NodeError("STEP_INTERRUPTED", "The worker went away.", retryable=True)
        if "error" in answer:
            error = answer["error"]
            raise NodeError(
                error["code"],
                error["message"],
                retryable=error["retryable"],
                retry_after=error.get("retryAfter"),
                details=error.get("details"),
            )
        return answer


def _copy(content: bytes | BinaryIO, file: IO[bytes]) -> None:
    if isinstance(content, bytes | bytearray | memoryview):
        file.write(content)
    else:
        shutil.copyfileobj(content, file, _COPY)


class _RemoteLog:
    """Log lines by message."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel

    def debug(self, message: str, **fields: Any) -> None:
        self._write("DEBUG", message, fields)

    def info(self, message: str, **fields: Any) -> None:
        self._write("INFO", message, fields)

    def warning(self, message: str, **fields: Any) -> None:
        self._write("WARN", message, fields)

    def error(self, message: str, **fields: Any) -> None:
        self._write("ERROR", message, fields)

    def _write(self, level: str, message: str, fields: Mapping[str, Any]) -> None:
        self._channel.send(
            {"op": "log", "level": level, "message": str(message), "fields": _plain(fields)}
        )


def _plain(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: value if isinstance(value, str | int | float | bool | None) else str(value)
        for name, value in fields.items()
    }
