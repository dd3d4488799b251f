"""The world outside: a server on loopback that counts deliveries by key and holds gates shut."""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from uuid import UUID

from apps.executions.engine.ports import StepCall
from apps.workflows.graph.declaration import Effect

GATE_SECONDS = 120.0


@dataclass(frozen=True)
class Delivery:
    """What one key stands for."""

    run: str
    path: str
    index: str
    effect: str


class Sink(ThreadingHTTPServer):
    """As a receiver that honors keys: it acts upon the first delivery, the others it absorbs."""

    daemon_threads = True
    request_queue_size = 256

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.lock = threading.Lock()
        self.deliveries: Counter[str] = Counter()
        self.acts: dict[str, Delivery] = {}
        self.gate = threading.Event()
        self.at_gate: set[str] = set()

    @property
    def port(self) -> int:
        """Where it listens, on loopback."""
        return int(self.server_address[1])

    def take(self, key: str, delivery: Delivery) -> None:
        """One delivery."""
        with self.lock:
            self.deliveries[key] += 1
            self.acts.setdefault(key, delivery)

    def absorbed(self) -> int:
        """Repeated sends that did nothing."""
        with self.lock:
            return sum(self.deliveries.values()) - len(self.acts)

    def doubled(self) -> list[str]:
        """Effects that happened twice: two keys for one step, or an unsafe one sent again."""
        with self.lock:
            places = Counter((one.run, one.path, one.index) for one in self.acts.values())
            twice = [
                f"{run} {path} under two keys" for (run, path, _), n in places.items() if n > 1
            ]
            twice += [
                f"{self.acts[key].run} {self.acts[key].path} sent {count} times"
                for key, count in self.deliveries.items()
                if count > 1 and self.acts[key].effect == Effect.UNSAFE
            ]
        return twice

    def done(self, run: str) -> set[str]:
        """The steps of a run whose effects have happened."""
        with self.lock:
            return {one.path for one in self.acts.values() if one.run == run}

    def close_gates(self) -> None:
        """Whoever comes to a gate waits from now on."""
        self.gate.clear()
        self.at_gate.clear()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A killed worker hangs up in the middle of a request: nothing to report."""


class Handler(BaseHTTPRequestHandler):
    """POST delivers, GET /gate/<run> waits, GET /has/<key> answers 200 or 404."""

    server: Sink

    def do_POST(self) -> None:
        told = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.take(self.headers["Idempotency-Key"], Delivery(**told))
        self._answer(204)

    def do_GET(self) -> None:
        what, _, name = self.path.lstrip("/").partition("/")
        if what == "gate":
            self.server.at_gate.add(name)
            self.server.gate.wait(GATE_SECONDS)
            self._answer(204)
        else:
            self._answer(200 if name in self.server.acts else 404)

    def _answer(self, status: int) -> None:
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        """Quiet."""


@contextmanager
def opened() -> Iterator[Sink]:
    """A sink with its gates open."""
    with Sink() as server:
        server.gate.set()
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        try:
            yield server
        finally:
            server.gate.set()
            server.shutdown()


def run_of(call: StepCall) -> UUID:
    """The run that a test knows: of an item that is a run of its own, the one it belongs to."""
    return call.lineage_id if call.scope else call.run_id


class Door:
    """A worker's way to the sink."""

    def __init__(self, port: int) -> None:
        self.port = port

    def deliver(self, call: StepCall, *, between: Callable[[], None]) -> None:
        """The effect of a step; `between` the request and the reading of its reply."""
        told = Delivery(
            run=str(run_of(call)),
            path=call.scope + call.path,
            index=str(getattr(call, "index", "")),
            effect=str(call.node_type.effect),
        )
        line = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        headers = {"Idempotency-Key": call.idempotency_key}
        line.request("POST", "/", body=json.dumps(told.__dict__), headers=headers)
        between()
        line.getresponse().read()
        line.close()

    def has(self, call: StepCall) -> bool:
        """Whether the effect has happened."""
        return self._get(f"/has/{call.idempotency_key}") == 200

    def wait(self, run: str) -> None:
        """Until the gates open."""
        self._get(f"/gate/{run}")

    def _get(self, path: str) -> int:
        for _ in range(3):
            try:
                line = http.client.HTTPConnection("127.0.0.1", self.port, timeout=GATE_SECONDS + 10)
                line.request("GET", path)
                status = line.getresponse().status
                line.close()
            except OSError:
                time.sleep(0.1)
            else:
                return status
        raise OSError("the sink does not answer")
