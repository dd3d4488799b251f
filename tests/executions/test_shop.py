"""Order, charge, reserve: effects that are asked for before they are sent again, and undone."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import threading
import uuid
from collections import Counter
from collections.abc import Iterator
from contextlib import AbstractContextManager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, TypeAlias

import pytest

from apps.executions.actions import resolve_step
from apps.executions.engine.state import StepStatus
from apps.executions.models import Run
from apps.tenancy import scope
from tests.executions.processes import told
from tests.executions.shop_nodes import SHOP
from tests.executions.world import finished, reached, start, types
from tests.factories.graphs import raw, to
from tests.factories.tenancy import Tenant

Worker: TypeAlias = AbstractContextManager[subprocess.Popen[str]]

pytestmark = pytest.mark.django_db(transaction=True)


class Bank(ThreadingHTTPServer):
    """Acts once for a key; may end the worker that calls, before or after it has acted."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Teller)
        self.acted: list[str] = []
        self.sent: Counter[str] = Counter()
        self.asked: Counter[str] = Counter()
        self.keys: dict[str, int] = {}
        self.kills: tuple[str, str] | None = None
        self.sold_out = False
        self.deaf = 0
        """How often it does not answer who asks."""
        self.lock = threading.Lock()

    @property
    def port(self) -> int:
        return int(self.server_address[1])


class Teller(BaseHTTPRequestHandler):
    server: Bank

    def do_POST(self) -> None:
        bank, act = self.server, self.path.removeprefix("/")
        with bank.lock:
            bank.sent[act] += 1
            if act == "reserve" and bank.sold_out:
                self.answer(409, None)
                return
            if bank.kills == ("before", act):
                self.kill()
                return
            key = self.headers["Idempotency-Key"]
            if key not in bank.keys:
                bank.keys[key] = len(bank.keys) + 1
                bank.acted.append(act)
            if bank.kills == ("after", act):
                self.kill()
                return
            self.answer(200, bank.keys[key])

    def do_GET(self) -> None:
        bank, key = self.server, self.headers["Idempotency-Key"]
        with bank.lock:
            bank.asked[self.path.removeprefix("/")] += 1
            if bank.deaf:
                bank.deaf -= 1
                self.answer(503, None)
            else:
                self.answer(200 if key in bank.keys else 404, bank.keys.get(key))

    def kill(self) -> None:
        """The worker dies between what it sent and what it would record."""
        self.server.kills = None
        os.kill(int(self.headers["Worker"]), signal.SIGKILL)
        self.close_connection = True

    def answer(self, status: int, value: int | None) -> None:
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        with suppress(OSError):
            self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Quiet."""


@pytest.fixture
def bank() -> Iterator[Bank]:
    with Bank() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def process() -> Worker:
    """A worker process; it is killed at the end if it still lives."""
    return told("tests.executions.shop_process")


def step(name: str, bank: Bank, kind: str = "act", **fields: Any) -> dict[str, Any]:
    configuration = {"bank": bank.port, "act": name}
    return {"id": name, "type": f"shop.{kind}", "configuration": configuration, **fields}


def begun(acme: Tenant, bank: Bank, **charge: Any) -> uuid.UUID:
    """order → charge → reserve; what cannot be reserved is undone, and the customer told."""
    sold_out = {"match": {"codes": ["SOLD_OUT"]}, "do": "compensate", "with": {"then": "apologize"}}
    nodes = [
        step("order", bank, compensation="withdraw"),
        step("charge", bank, "charge", compensation="refund", **charge),
        step("reserve", bank, onError=[sold_out]),
        step("withdraw", bank),
        step("refund", bank),
        step("apologize", bank),
    ]
    drawn = raw(nodes, [to("order", "charge"), to("charge", "reserve")])
    return start(acme, drawn, catalogue=SHOP)


def killed(bank: Bank, place: str) -> None:
    """A worker, until the bank has ended it as it was charging."""
    bank.kills = (place, "charge")
    with process() as victim:
        assert victim.wait(90) == -signal.SIGKILL


def ended(acme: Tenant, run_id: uuid.UUID) -> Run:
    with process():
        return finished(acme, run_id, seconds=60)


def test_what_was_charged_is_found_and_not_sent_again(acme: Tenant, bank: Bank) -> None:
    run_id = begun(acme, bank)
    killed(bank, "after")
    assert ended(acme, run_id).state == "SUCCEEDED"
    assert bank.acted == ["order", "charge", "reserve"]
    assert (bank.sent["charge"], bank.asked["charge"]) == (1, 1)
    assert types(acme, run_id).count("step.completed charge") == 1


def test_what_was_not_charged_is_sent(acme: Tenant, bank: Bank) -> None:
    run_id = begun(acme, bank)
    killed(bank, "before")
    assert ended(acme, run_id).state == "SUCCEEDED"
    assert bank.acted == ["order", "charge", "reserve"]
    assert (bank.sent["charge"], bank.asked["charge"]) == (2, 1)


def test_a_bank_that_does_not_say_is_asked_again(acme: Tenant, bank: Bank) -> None:
    run_id = begun(
        acme, bank, retry={"maxAttempts": 3, "backoffSeconds": 0, "retryOn": ["HTTP_5*"]}
    )
    killed(bank, "after")
    bank.deaf = 2
    assert ended(acme, run_id).state == "SUCCEEDED"
    assert (bank.sent["charge"], bank.asked["charge"]) == (1, 3)


@pytest.mark.parametrize(
    ("outcome", "sent", "asked"), [(StepStatus.READY, 1, 2), (StepStatus.SUCCEEDED, 1, 1)]
)
def test_what_nobody_can_find_out_a_person_decides(
    acme: Tenant, bank: Bank, outcome: StepStatus, sent: int, asked: int
) -> None:
    run_id = begun(acme, bank)
    killed(bank, "after")
    bank.deaf = 1
    with process():
        reached(acme, run_id, "WAITING", seconds=60)
        with scope.tenant(acme.id, actor=acme.owner):
            resolve_step(
                actor=acme.owner,
                run_id=run_id,
                path="charge",
                outcome=outcome,
                output={"value": 2} if outcome is StepStatus.SUCCEEDED else None,
                comment="the bank's clerk says so",
            )
        run = finished(acme, run_id, seconds=60)
    assert run.state == "SUCCEEDED"
    assert bank.acted == ["order", "charge", "reserve"]
    assert (bank.sent["charge"], bank.asked["charge"]) == (sent, asked)


@pytest.mark.parametrize("place", [None, "before", "after"])
def test_what_cannot_be_reserved_is_undone_and_another_path_taken(
    acme: Tenant, bank: Bank, place: str | None
) -> None:
    bank.sold_out = True
    run_id = begun(acme, bank)
    if place is not None:
        killed(bank, place)
    run = ended(acme, run_id)
    assert (run.state, run.error) == ("SUCCEEDED", None)
    assert bank.acted == ["order", "charge", "refund", "withdraw", "apologize"]
    told = types(acme, run_id)
    undone = [one for one in told if one.startswith("step.compensated")]
    assert undone == ["step.compensated charge", "step.compensated order"]
    assert told.index("run.compensated") < told.index("step.completed apologize")
