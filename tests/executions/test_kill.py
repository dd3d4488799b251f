"""A worker process is killed at the worst places; the run goes on and no effect is doubled."""

from __future__ import annotations

import signal
import subprocess
import threading
import uuid
from collections import Counter
from collections.abc import Iterator
from contextlib import AbstractContextManager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, TypeAlias

import pytest

from apps.executions import history
from apps.executions.actions import resolve_step
from apps.executions.engine.state import StepStatus
from apps.tenancy import scope
from tests.executions.processes import line, told
from tests.executions.world import finished, reached, start, types
from tests.factories.graphs import a, raw, to
from tests.factories.tenancy import Tenant

Worker: TypeAlias = AbstractContextManager[subprocess.Popen[str]]

pytestmark = pytest.mark.django_db(transaction=True)


class Sink(ThreadingHTTPServer):
    """Counts deliveries by key, and what it did: a key is acted upon once."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.deliveries: Counter[str] = Counter()
        self.acted: list[str] = []
        self.lock = threading.Lock()


class Handler(BaseHTTPRequestHandler):
    server: Sink

    def do_POST(self) -> None:
        key = self.headers["Idempotency-Key"]
        with self.server.lock:
            self.server.deliveries[key] += 1
            if self.server.deliveries[key] == 1:
                self.server.acted.append(self.path.removeprefix("/"))
        self.send_response(204)
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        """Quiet."""


@pytest.fixture
def sink() -> Iterator[Sink]:
    with Sink() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def process(sink: Sink, *, halt: tuple[str, str] | None = None) -> Worker:
    """A worker process; it is killed at the end if it still lives."""
    return told("tests.executions.worker_process", sink=sink.server_address[1], halt=halt)


def workflow(kind: str) -> dict[str, Any]:
    """pure → effect → effect → pure."""
    nodes = [a("first"), a("second", kind), a("third", "keyed"), a("last")]
    links = [to("first", "second"), to("second", "third"), to("third", "last")]
    return raw(nodes, links)


def shop() -> dict[str, Any]:
    """order → charge → reserve, which fails: what was done is undone."""
    nodes = [
        a("order", "keyed", compensation="withdraw"),
        a("charge", "keyed", compensation="refund"),
        a("reserve", "keyed", configuration={"say": "SOLD_OUT"}, onError=[{"do": "compensate"}]),
        a("withdraw", "keyed"),
        a("refund", "keyed"),
    ]
    return raw(nodes, [to("order", "charge"), to("charge", "reserve")])


def start_and_kill(
    acme: Tenant,
    sink: Sink,
    *,
    halt: tuple[str, str],
    kind: str = "keyed",
    document: dict[str, Any] | None = None,
) -> uuid.UUID:
    """Start a run, kill the worker at the place, let another finish."""
    run_id = start(acme, document or workflow(kind))
    with process(sink, halt=halt) as victim:
        assert line(victim) == f"at {halt[0]} {halt[1]}"
        victim.send_signal(signal.SIGKILL)
        victim.wait()
    return run_id


@pytest.mark.parametrize("place", ["before", "after"])
@pytest.mark.parametrize("kind", ["keyed", "reconcilable", "transactional"])
def test_the_run_completes_and_no_effect_is_doubled(
    acme: Tenant, sink: Sink, kind: str, place: str
) -> None:
    run_id = start_and_kill(acme, sink, kind=kind, halt=(place, "second"))
    with process(sink):
        run = finished(acme, run_id)
    assert run.state == "SUCCEEDED"
    assert sorted(sink.acted) == ["second", "third"]
    sent = {"before": 1, "after": 2}[place]
    assert sorted(sink.deliveries.values()) == sorted([sent, 1])
    history = types(acme, run_id)
    assert history.count("step.completed second") == 1
    assert history.count("step.completed first") == 1, "the barrier made it durable"


@pytest.mark.parametrize("place", ["before", "after"])
@pytest.mark.parametrize("step", ["charge/refund", "order/withdraw"])
def test_a_death_in_the_middle_of_undoing_undoes_nothing_twice(
    acme: Tenant, sink: Sink, place: str, step: str
) -> None:
    run_id = start_and_kill(acme, sink, document=shop(), halt=(place, step))
    with process(sink):
        run = finished(acme, run_id)
    assert run.error is not None
    assert (run.state, run.error["code"]) == ("FAILED", "SOLD_OUT")
    assert sink.acted == ["order", "charge", "charge/refund", "order/withdraw"]
    resent = {"before": 1, "after": 2}[place]
    assert sorted(sink.deliveries.values()) == sorted([1, 1, 1, resent])
    with scope.tenant(acme.id):
        steps = {step.path: step.status.value for step in history.steps(run)}
    assert (steps["order"], steps["charge"]) == ("COMPENSATED", "COMPENSATED")


@pytest.mark.parametrize("place", ["before", "after"])
def test_an_unsafe_effect_is_never_tried_again(acme: Tenant, sink: Sink, place: str) -> None:
    run_id = start_and_kill(acme, sink, kind="unsafe", halt=(place, "second"))
    with process(sink):
        reached(acme, run_id, "WAITING")
        assert sink.acted == ([] if place == "before" else ["second"])
        with scope.tenant(acme.id):
            resolve_step(
                actor=acme.owner,
                run_id=run_id,
                path="second",
                outcome=StepStatus.FAILED,
                comment="nothing was sent",
            )
        run = finished(acme, run_id)
    assert run.error is not None
    assert (run.state, run.error["code"]) == ("FAILED", "EFFECT_IN_DOUBT")
    assert "nothing was sent" in run.error["message"]
    assert sink.acted == ([] if place == "before" else ["second"])


@pytest.mark.parametrize(
    "halt", [("before", "c[1]/send"), ("after", "c[1]/send"), ("after", "c"), ("before", "c[2]/x")]
)
def test_a_loop_goes_on_where_it_was(acme: Tenant, sink: Sink, halt: tuple[str, str]) -> None:
    body = [a("x", parentId="c"), a("send", "keyed", parentId="c")]
    links = [to("first", "c"), to("c.item", "x"), to("x", "send"), to("send", "c.next")]
    run_id = start(acme, raw([a("first", "keyed"), a("c", "box"), *body], links))
    with process(sink, halt=halt) as victim:
        assert line(victim) == f"at {halt[0]} {halt[1]}"
        victim.send_signal(signal.SIGKILL)
        victim.wait()
    with process(sink):
        run = finished(acme, run_id)
    assert run.state == "SUCCEEDED"
    assert sorted(sink.acted) == ["c[0]/send", "c[1]/send", "c[2]/send", "first"]
    assert max(sink.deliveries.values()) == (2 if halt == ("after", "c[1]/send") else 1)
    history = types(acme, run_id)
    assert history.count("step.iterated c") == 3
    assert history.count("step.completed c[1]/send") == history.count("step.completed c") == 1


def test_a_run_that_kills_every_worker_ends(acme: Tenant, sink: Sink) -> None:
    run_id = start(acme, workflow("keyed"))
    for _ in range(4):  # The first death is forgiven: a step had settled since the claim.
        with process(sink, halt=("before", "second")) as victim:
            assert line(victim) == "at before second"
            victim.send_signal(signal.SIGKILL)
            victim.wait()
    with process(sink):
        run = finished(acme, run_id)
    assert run.state == "FAILED"
    assert run.error is not None
    assert run.error["code"] == "WORKER_LOST"
