"""One worker process of the fault tests: the product's loop, steps that do as their node says."""

from __future__ import annotations

import ctypes
import logging
import random
import resource
import signal
import threading
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import dramatiq
import psycopg
from django.conf import settings

from apps.executions import bell, crashpoints, live, process, tasks
from apps.executions.engine.ports import (
    LogSink,
    StepCall,
    StepDone,
    StepFailed,
    StepOpens,
    StepOutcome,
    StepStopped,
    StepWaits,
    StopSignal,
)
from apps.executions.engine.slice_ports import Claim
from apps.executions.runner.local import LocalRunner
from apps.executions.runner.platform import store_of
from apps.executions.store.connections import Connection, conninfo_from_settings
from apps.executions.worker import documents as stored
from apps.executions.worker.lease import Lease
from apps.executions.worker.loop import EngineLoop
from apps.executions.worker.settings import Hooks, LoopSettings
from apps.workflows.graph.declaration import Effect
from apps.workflows.graph.document import Document, parse
from apps.workflows.graph.mapping import MapOpening, Policy
from apps.workflows.graph.waits import Wait, WaitKind
from tests.chaos import mutants
from tests.chaos.nodes import CATALOGUE
from tests.chaos.sink import Door, run_of
from tests.chaos.strikes import Blow, Strike

DRAIN_SECONDS = 1.0
MEMORY_LIMIT = 2 << 30


class ChaosRunner:
    """`test.*` steps do what their parameter `say` tells them; the others run as in production."""

    def __init__(self, told: Mapping[str, Any], strike: Strike) -> None:
        self.door = Door(told["sink"])
        self.has_gates = bool(told.get("gates"))
        self.strike = strike
        self.local = LocalRunner()

    def ready(
        self, call: StepCall, *, stop: StopSignal, logs: LogSink
    ) -> Callable[[], StepOutcome]:
        if not call.node_type.type.startswith("test."):
            return self.local.ready(call, stop=stop, logs=logs)
        return lambda: self.run(call, stop=stop)

    def run(self, call: StepCall, *, stop: StopSignal) -> StepOutcome:
        if call.given is not None:
            return call.given
        said = call.node.configuration.get("say") or {}
        if call.node_type.container:
            return StepOpens(opening=opening_of(said))
        if said.get("gate") and self.has_gates:
            self.door.wait(f"{run_of(call)}")
        if reason := stop.wait(seconds=said.get("seconds", 0)):
            return StepStopped(reason=reason)
        is_first = said.get("first") and call.run_id == call.lineage_id
        if is_first or call.attempt <= said.get("failures", 0):
            return StepFailed(code=said.get("code", "NOT_YET"), message="not yet", retryable=True)
        if poison := said.get("poison"):
            suffer(poison)
        if wait := wait_of(said, call.path):
            return StepWaits(wait=wait)
        if call.node_type.effect is not Effect.PURE:
            self.deliver(call)
        return StepDone(outputs={"value": call.path})

    def deliver(self, call: StepCall) -> None:
        """The effect: one delivery under the idempotency key."""
        effect = call.node_type.effect
        if effect is Effect.RECONCILABLE and call.interrupted and self.door.has(call):
            return
        self.door.deliver(call, between=lambda: self.strike("effect.sent"))

    def close(self) -> None:
        self.local.close()


def suffer(poison: str) -> None:
    """What a step may do to the process that runs it."""
    match poison:
        case "kill":
            signal.raise_signal(signal.SIGKILL)
        case "segv":
            ctypes.string_at(0)
        case "eat":
            resource.setrlimit(resource.RLIMIT_AS, (MEMORY_LIMIT, MEMORY_LIMIT))
            held = []
            while True:
                held.append(bytearray(1 << 24))
        case "never":
            time.sleep(3600)


def opening_of(said: Mapping[str, Any]) -> MapOpening:
    """The map's items are numbers."""
    return MapOpening(
        total=said["items"],
        items=list(range(said["items"])),
        chunk_size=said.get("chunk", 4),
        concurrency=said.get("concurrency", 4),
        policy=Policy.COLLECT,
        tolerated=said.get("tolerated"),
    )


def wait_of(said: Mapping[str, Any], path: str) -> Wait | None:
    """What the step waits for, if it does."""
    if said.get("wait"):
        return Wait(kind=WaitKind.TIMER, seconds=said["wait"], due={"value": path})
    if said.get("signal"):
        return Wait(kind=WaitKind.SIGNAL, name=said["signal"])
    return None


def work(told: Mapping[str, Any], documents: Mapping[str, Any], say: Callable[[str], None]) -> None:
    """Serve until SIGTERM or until the loop asks to be replaced."""
    over = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: over.set())
    strike = Strike([Blow(**blow) for blow in told.get("blows", ())], say=say)
    crashpoints.arm(strike)
    mutants.apply_code(told.get("mutant"))
    if told.get("lost"):
        lose_replies(told["lost"], seed=told.get("seed", 0))
    if told.get("skew"):
        skew_clock(told["skew"])
    if told.get("patient"):
        wait_for_ever()
    versions = Versions(documents)
    runner = ChaosRunner(told, strike)

    def recycle(reason: str) -> None:
        say(f"recycled: {reason}")
        over.set()

    loop = EngineLoop(
        LoopSettings(
            conninfo=conninfo_from_settings(),
            worker_id=uuid.UUID(told["worker"]),
            pools=told["pools"],
            **told["settings"],
        ),
        runner=runner,
        documents=versions,
        catalogue=CATALOGUE,
        hooks=Hooks(
            tick=lambda: process._tick(runner.local) if told.get("relay", True) else None,
            recycle=recycle,
            open_objects=store_of,
            **(bells(told["pools"]) if told.get("bell") else {}),
        ),
    )
    loop.start()
    if told.get("bell"):
        listen(loop, told["pools"])
    say("ready")
    while not over.wait(0.2):
        pass
    loop.stop(seconds=DRAIN_SECONDS)
    say("left")


def bells(pools: Sequence[str]) -> dict[str, Any]:
    """What a process of the product tells Redis."""
    announcer = live.Announcer()
    return {
        "tell": announcer.announce,
        "ring": lambda rung: [process._ringer.submit(tasks.ring, pool) for pool in rung],
    }


def listen(loop: EngineLoop, pools: Sequence[str]) -> None:
    """Dramatiq's consumers, as `config.worker` has them beside the loop."""
    for pool in pools:
        dramatiq.get_broker().declare_queue(pool)
        bell.install(pool, loop)
    dramatiq.get_broker().has_room = loop.has_room  # type: ignore[attr-defined]
    dramatiq.Worker(dramatiq.get_broker(), queues=set(pools), worker_threads=1).start()


class Versions:
    """Documents that the test told us, else those of the database."""

    def __init__(self, documents: Mapping[str, Any]) -> None:
        self.documents = documents

    def __call__(self, claim: Claim) -> Document:
        told = self.documents.get(str(claim.version_id))
        return stored.document_of(claim) if told is None else parse(told)


def lose_replies(rate: float, *, seed: int) -> None:
    """A share of all statements is done by the database, and its reply never comes."""
    chance = random.Random(seed)
    call, execute = Connection.call, Connection.execute

    def lossy(real: Callable[..., Any]) -> Callable[..., Any]:
        def statement(self: Connection, *given: Any, **named: Any) -> Any:
            result = real(self, *given, **named)
            if chance.random() < rate:
                self.close()
                raise psycopg.OperationalError("the reply was lost")
            return result

        return statement

    Connection.call = lossy(call)  # type: ignore[method-assign]
    Connection.execute = lossy(execute)  # type: ignore[method-assign]


def wait_for_ever() -> None:
    """No transaction of Django's is ended for standing still, unless it asks for that itself."""
    options = settings.DATABASES["default"]["OPTIONS"]
    options["options"] += " -c idle_in_transaction_session_timeout=0"


def skew_clock(seconds: float) -> None:
    """The wall clock of this machine is wrong; the monotonic one started elsewhere, too."""
    wall, steady = time.time, time.monotonic
    time.time = lambda: wall() + seconds
    time.monotonic = lambda: steady() + abs(seconds)
    logging.getLogger(__name__).debug("skewed %s for %s", Lease.__name__, seconds)
