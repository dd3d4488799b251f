"""A real worker process for fault tests: its steps deliver to a loopback sink and stop on demand.

usage: python -m tests.executions.worker_process, told by a line of JSON on stdin; prints "ready",
then "at <place> <path>" where it was told to halt; it never goes on from there.
"""

from __future__ import annotations

import http.client
import json
import os
import sys
import time
import uuid
from collections.abc import Callable
from typing import Any

from apps.executions.engine.ports import (
    LogSink,
    StepCall,
    StepDone,
    StepFailed,
    StepOutcome,
    StepRepeats,
    StopSignal,
)
from apps.executions.engine.slice_ports import Claim
from apps.executions.worker.loop import EngineLoop
from apps.executions.worker.settings import Hooks, LoopSettings
from apps.workflows.graph.declaration import Effect
from apps.workflows.graph.document import Document, parse
from tests.factories.graphs import CATALOGUE

ITERATIONS = 3


class SinkRunner:
    """Every step that is not pure delivers once to the sink, under its idempotency key."""

    def __init__(self, told: dict[str, Any]) -> None:
        self.told = told

    def ready(
        self, call: StepCall, *, stop: StopSignal, logs: LogSink
    ) -> Callable[[], StepOutcome]:
        return lambda: self.run(call)

    def run(self, call: StepCall) -> StepOutcome:
        self.halt("before", call)
        if code := call.node.configuration.get("say"):
            return StepFailed(code=code, message="as it was told")
        if call.node_type.effect is not Effect.PURE:
            sink = http.client.HTTPConnection("127.0.0.1", self.told["sink"], timeout=5)
            sink.request("POST", f"/{call.path}", headers={"Idempotency-Key": call.idempotency_key})
            sink.getresponse().read()
            sink.close()
        self.halt("after", call)
        if call.node_type.container:
            index = call.inside.index + 1 if call.inside else 0
            if index < ITERATIONS:
                return StepRepeats(values={"item": index, "index": index})
        return StepDone(outputs={"value": call.path})

    def halt(self, place: str, call: StepCall) -> None:
        if [place, call.path] == self.told.get("halt"):
            say(f"at {place} {call.path}")
            time.sleep(600)

    def close(self) -> None:
        pass


def say(text: str) -> None:
    """Tell the test, which reads lines."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def main() -> None:
    told = json.loads(sys.stdin.readline())
    documents = {uuid.UUID(key): parse(value) for key, value in told["documents"].items()}

    def document_of(claim: Claim) -> Document:
        return documents[claim.version_id]

    loop = EngineLoop(
        LoopSettings(conninfo=os.environ["WORKER_CONNINFO"], pools=["io"], **told["settings"]),
        runner=SinkRunner(told),
        documents=document_of,
        catalogue=CATALOGUE,
        hooks=Hooks(),
    )
    loop.start()
    say("ready")
    sys.stdin.read()
    loop.stop(seconds=5)


if __name__ == "__main__":
    main()
