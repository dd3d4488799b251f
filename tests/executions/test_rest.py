"""Runs over REST, on the real ASGI application and a real engine."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import httpx
import pytest
from asgiref import testing
from django.db import connection, connections
from django.db.backends.utils import CursorWrapper

from apps.executions.actions import wire
from apps.executions.engine.ports import LogSink, StepCall, StepDone, StepOutcome, StopSignal
from apps.executions.rest import seats
from apps.kit.graphql.nodes import global_id
from config.asgi import application
from tests.executions.rest_calls import Program, deployed, engine, program, runs_of
from tests.factories import tenancy as make

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("test_nodes")]
COMMUNICATOR: Any = testing.ApplicationCommunicator


def slow(call: StepCall, stop: StopSignal, logs: LogSink) -> StepOutcome:
    time.sleep(0.3)
    return StepDone(outputs={"value": call.path})


def test_who_waits_gets_the_outputs(acme: make.Tenant) -> None:
    workflow, client = deployed(acme), program(acme)
    with engine():
        answer = client.start(workflow, wait=30)

    assert answer.status_code == 201, answer.text
    run = answer.json()
    assert (run["status"], run["result"]) == ("SUCCEEDED", {"n1": {"value": "n1"}})
    assert answer.headers["Location"] == run["url"] == f"/api/v1/runs/{run['id']}"
    assert "Retry-After" not in answer.headers
    assert int(answer.headers["RateLimit-Remaining"]) < int(answer.headers["RateLimit-Limit"])
    assert answer.headers["X-Request-ID"]
    assert client.call("GET", run["url"]).json() == run


def test_an_end_whose_hint_is_lost_is_found(acme: make.Tenant) -> None:
    workflow, client = deployed(acme), program(acme)
    with engine(slow, tells=False):
        answer = client.start(workflow, wait=30)

    assert (answer.status_code, answer.json()["status"]) == (201, "SUCCEEDED")


def test_who_does_not_wait_is_told_where_to_look(acme: make.Tenant) -> None:
    workflow, client = deployed(acme), program(acme)

    answers = [client.start(workflow), client.start(workflow, wait="0.2")]

    for answer in answers:
        assert answer.status_code == 202
        assert answer.headers["Retry-After"] == "1"
        assert answer.json()["status"] == "QUEUED"
    with engine(slow):
        ended = client.call("GET", f"{answers[0].headers['Location']}?wait=30")
    assert (ended.status_code, ended.json()["status"]) == (200, "SUCCEEDED")


def test_a_failed_run_says_why(acme: make.Tenant) -> None:
    def fails(call: StepCall, stop: StopSignal, logs: LogSink) -> StepOutcome:
        raise ValueError("no such city")

    workflow, client = deployed(acme), program(acme)
    with engine(fails):
        answer = client.start(workflow, wait=30)

    assert answer.status_code == 201
    assert answer.json()["status"] == "FAILED"
    assert answer.json()["error"]["nodeId"] == "n0"


def test_waiting_holds_no_connection(acme: make.Tenant) -> None:
    workflow, client = deployed(acme), program(acme)
    run = client.start(workflow).json()
    opened: list[int] = []

    async def talk() -> None:
        transport = httpx.ASGITransport(app=application)
        async with httpx.AsyncClient(transport=transport, base_url="http://testserver") as one:
            one.headers.update(client.headers)
            waiting = [asyncio.create_task(one.get(f"{run['url']}?wait=1.2")) for _ in range(8)]
            for _ in range(8):  # They come one after the other, and then they wait.
                await asyncio.sleep(0.1)
                opened.append(await asyncio.to_thread(busy))
            for answer in await asyncio.gather(*waiting):
                assert answer.json()["status"] == "QUEUED"

    asyncio.run(talk())
    assert min(opened) == 0


def busy() -> int:
    """Transactions of the web that are open just now."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
            " AND xact_start IS NOT NULL AND pid <> pg_backend_pid()"
            " AND backend_type = 'client backend'"
        )
        ((found,),) = cursor.fetchall()
    connections.close_all()
    return int(found)


def test_a_client_that_leaves_gives_its_seat_back(acme: make.Tenant) -> None:
    workflow, client = deployed(acme), program(acme)
    run = client.start(workflow).json()

    async def leave() -> None:
        communicator = COMMUNICATOR(
            application,
            {
                "type": "http",
                "method": "GET",
                "path": run["url"],
                "query_string": b"wait=60",
                "headers": [
                    (b"host", b"testserver"),
                    (b"authorization", client.headers["Authorization"].encode()),
                ],
            },
        )
        await communicator.send_input({"type": "http.request"})
        while not seats.SEATS.taken:
            await asyncio.sleep(0.01)
        await communicator.send_input({"type": "http.disconnect"})
        await communicator.wait(timeout=10)

    asyncio.run(asyncio.wait_for(leave(), 20))
    assert not seats.SEATS.taken


def test_too_many_waiters_are_told_so_and_nothing_starts(
    acme: make.Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    workflow, client = deployed(acme), program(acme)
    monkeypatch.setattr(seats.SEATS, "of_a_tenant", 1)
    path = f"/api/v1/workflows/{workflow}/runs?wait=1"
    body = {"json": {"environment": "PRODUCTION"}}

    answers = client.calls([("POST", path, body)] * 3)

    assert sorted(answer.status_code for answer in answers) == [202, 429, 429]
    refused = next(answer for answer in answers if answer.status_code == 429)
    assert refused.json()["reason"] == "WAITERS_FULL"
    assert refused.headers["Retry-After"] == "1"
    assert runs_of(acme) == 1


def test_the_same_key_starts_one_run(acme: make.Tenant) -> None:
    workflow, client = deployed(acme), program(acme)

    first, again = (client.start(workflow, headers={"Idempotency-Key": "k"}) for _ in range(2))
    other = client.start(
        workflow,
        json={"environment": "PRODUCTION", "parameters": {"city": "Chur"}},
        headers={"Idempotency-Key": "k"},
    )

    assert first.json()["id"] == again.json()["id"]
    assert (other.status_code, other.json()["code"]) == (409, "IDEMPOTENCY_MISMATCH")
    assert runs_of(acme) == 1


def test_a_run_is_canceled(acme: make.Tenant) -> None:
    workflow, client = deployed(acme), program(acme)
    url = client.start(workflow).json()["url"]

    asked = client.call("POST", f"{url}/cancel")
    with engine():
        ended = client.call("GET", f"{url}?wait=30")
    again = client.call("POST", f"{url}/cancel")

    assert (asked.status_code, again.status_code) == (202, 200)
    assert ended.json()["status"] == "CANCELED"


def test_graphql_ids_are_ids(acme: make.Tenant) -> None:
    workflow, client = deployed(acme), program(acme)

    run = client.start(global_id("Workflow", workflow)).json()

    assert client.call("GET", f"/api/v1/runs/{global_id('Execution', run['id'])}").json() == run


def test_the_third_start_is_one_statement(acme: make.Tenant) -> None:
    """It looks at the key as well."""
    workflow, client = deployed(acme), program(acme)
    client.start(workflow)
    client.start(workflow)
    statements: list[str] = []

    def note(execute: Any, sql: str, *rest: Any) -> Any:
        statements.append(sql)
        return execute(sql, *rest)

    async def talk() -> httpx.Response:
        transport = httpx.ASGITransport(app=application)
        async with httpx.AsyncClient(transport=transport, base_url="http://testserver") as one:
            one.headers.update(client.headers)
            body = {"environment": "PRODUCTION"}
            return await one.post(f"/api/v1/workflows/{workflow}/runs", json=body)

    with noted(note):
        assert asyncio.run(talk()).status_code == 202

    # A connection that is new, as without a pool, is asked for its role first.
    statements = [one for one in statements if "rolsuper" not in one]
    assert len(statements) == 1, statements
    assert "executions_launch" in statements[0]


@contextmanager
def noted(note: Callable[..., Any]) -> Iterator[None]:
    """Every statement of every thread's connection."""
    original = CursorWrapper.execute

    def execute(self: Any, sql: Any, params: Any = None) -> Any:
        return note(lambda *given: original(self, *given), sql, params)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(CursorWrapper, "execute", execute)
        patch.setattr(wire, "row_of", partial(note, wire.row_of))
        yield


def test_the_document_names_every_route(acme: make.Tenant) -> None:
    told = Program(None).call("GET", "/api/v1/openapi.json").json()

    assert set(told["paths"]) == {
        "/api/v1/workflows/{id}/runs",
        "/api/v1/runs/{id}",
        "/api/v1/runs/{id}/cancel",
    }
    assert Program(None).call("GET", "/api/v1/workflows/x/runs").status_code == 405
