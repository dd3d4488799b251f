"""One runner with its child processes for all node tests, and a loopback server."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from apps.executions.engine.ports import StepCall, StepDone, StepFailed, StepOutcome
from apps.executions.runner.doors import Doors
from apps.executions.runner.local import LocalRunner
from apps.executions.sandbox import shared
from apps.nodes import library
from apps.workflows.graph.declaration import NodeType
from tests.nodes.doubles import Logs, MemorySecrets, Stop, Surroundings, step_call

SECRET = "s3cr3t-value"
# Some tests use models in this process; steps are told by the runner.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"


class Bench:
    """The real runner; vault, store and network in memory or on loopback."""

    def __init__(self) -> None:
        self.runner = LocalRunner(doors=self._doors, sandbox=shared())
        self.fresh()

    def fresh(self) -> Bench:
        self.around = Surroundings(secrets=MemorySecrets({"TOKEN": SECRET, "OTHER": "x-value"}))
        self.logs = Logs()
        self.stop = Stop()
        return self

    def run(self, call: StepCall) -> StepOutcome:
        return self.runner.run(call, stop=self.stop, logs=self.logs)

    def step(self, node_type: NodeType, configuration: dict[str, Any], **more: Any) -> StepOutcome:
        return self.run(step_call(node_type, configuration=configuration, **more))

    def done(self, node_type: NodeType, configuration: dict[str, Any], **more: Any) -> Any:
        """The outcome of a step that must succeed, as Any: it holds any JSON."""
        outcome = self.step(node_type, configuration, **more)
        assert isinstance(outcome, StepDone), outcome
        return outcome

    def failed(self, node_type: NodeType, configuration: dict[str, Any], **more: Any) -> Any:
        """The outcome of a step that must fail."""
        outcome = self.step(node_type, configuration, **more)
        assert isinstance(outcome, StepFailed), outcome
        return outcome

    def _doors(self, call: StepCall) -> Doors:
        return self.around.doors(call)


@pytest.fixture(scope="session")
def _bench() -> Iterator[Bench]:
    library.load()
    bench = Bench()
    yield bench
    bench.runner.close()


@pytest.fixture
def node_bench(_bench: Bench) -> Bench:
    return _bench.fresh()


class Echo(BaseHTTPRequestHandler):
    """Answers with what it was asked; `/status/<n>` with that status, `/silent` not at all."""

    def _answer(self) -> None:
        length = int(self.headers.get("content-length") or 0)
        sent = self.rfile.read(length)
        status = int(self.path.rsplit("/", 1)[1]) if self.path.startswith("/status/") else 200
        told: dict[str, Any] = {
            "method": self.command,
            "path": self.path,
            "headers": {name.lower(): value for name, value in self.headers.items()},
            "json": json.loads(sent) if sent else None,
        }
        self.server.seen.append(told)  # type: ignore[attr-defined]
        if self.path == "/silent":
            return
        body = json.dumps(told).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        if status == 429:
            self.send_header("retry-after", "7")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("do_"):
            return self._answer
        raise AttributeError(name)

    def log_message(self, format: str, *arguments: Any) -> None:
        """Quiet."""


class Receiver(ThreadingHTTPServer):
    """Remembers what it saw."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Echo)
        self.seen: list[dict[str, Any]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


@pytest.fixture
def receiver(node_bench: Bench) -> Iterator[Receiver]:
    server = Receiver()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    node_bench.around.loopback = frozenset({("127.0.0.1", server.server_port)})
    yield server
    server.shutdown()
    server.server_close()
