"""Answers what a step asks from its own process: the same context, reached over the channel."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from typing import Any

from apps.executions.engine.ports import LogLevel
from apps.executions.runner.context import StepContext
from apps.workflows.graph.context import ArtifactRef, NodeError, Secret

Message = Mapping[str, Any]
# With its Base64 coding it has to fit one frame of the channel.
_MAX_ANSWER = 40 << 20

_MALFORMED = (AttributeError, KeyError, OverflowError, TypeError, ValueError)


class Host:
    """Serves one attempt; nothing a process says is trusted beyond what a node may say."""

    def __init__(self, context: StepContext) -> None:
        self._context = context
        self._asked: dict[str, Callable[[Message], dict[str, Any]]] = {
            "secret": self._secret,
            "script": self._script,
            "write": self._write,
            "http": self._http,
            "open": self._open,
            "put": self._put,
        }
        self._told: dict[str, Callable[[Message], None]] = {
            "log": self._log,
            "metric": lambda message: context.metric(message["name"], message["value"]),
            "progress": lambda message: context.progress(message["done"], message["total"]),
            "cost": lambda message: context.cost(message["amount"], currency=message["currency"]),
        }

    def serve(self, message: dict[str, Any]) -> dict[str, Any] | None:
        """The answer to a question, None for a statement."""
        operation = str(message.get("op"))
        if operation in self._told:
            try:
                self._told[operation](message)
            except (*_MALFORMED, NodeError) as error:
                self._context.log.warning(
                    "The step sent a malformed message.", op=operation, error=error
                )
            return None
        try:
            return self._asked[operation](message)
        except NodeError as error:
            return _error(error)
        except _MALFORMED:
            return _error(NodeError("STEP_PROTOCOL", f"Malformed request {operation}."))

    def _secret(self, message: Message) -> dict[str, Any]:
        return {"name": self._context.secret(str(message["name"])).name}

    def _script(self, message: Message) -> dict[str, Any]:
        return {"value": self._context.script(message["source"], inputs=message["inputs"])}

    def _write(self, message: Message) -> dict[str, Any]:
        self._context.write(message["key"], message["value"])
        return {}

    def _http(self, message: Message) -> dict[str, Any]:
        headers: dict[str, str | Secret] = {
            name: self._context.secret(value["secret"]) if isinstance(value, dict) else str(value)
            for name, value in message["headers"].items()
        }
        content = message["content"]
        answer = self._context.http.request(
            message["method"],
            message["url"],
            headers=headers,
            params=message["params"],
            json=message["json"],
            content=base64.b64decode(content) if content is not None else None,
            timeout_seconds=message["timeout"],
        )
        if len(answer.content) > _MAX_ANSWER:
            raise NodeError(
                "HTTP_TOO_LARGE",
                f"The answer has {len(answer.content)} bytes; a step in a process of its own takes"
                f" at most {_MAX_ANSWER}.",
            )
        return {
            "status": answer.status,
            "headers": dict(answer.headers),
            "content": base64.b64encode(answer.content).decode(),
        }

    def _open(self, message: Message) -> dict[str, Any]:
        reference = ArtifactRef.from_json(message["reference"])
        return {"file": self._context.artifacts.path(reference).name}

    def _put(self, message: Message) -> dict[str, Any]:
        stored = self._context.artifacts.adopt(message["file"], media_type=message["mediaType"])
        return {"reference": stored.to_json()}

    def _log(self, message: Message) -> None:
        self._context.log.line(
            LogLevel(message["level"]), str(message["message"]), dict(message["fields"])
        )


def _error(error: NodeError) -> dict[str, Any]:
    return {
        "error": {
            "code": error.code,
            "message": error.message,
            "retryable": error.retryable,
            "retryAfter": error.retry_after,
            "details": dict(error.details),
        }
    }
