"""The WebSocket: its handshake, its limits, and the live stream of a run."""

from __future__ import annotations

import asyncio
import datetime as dt
import itertools
import json
import threading
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from django.conf import settings
from django.db import connections

from apps.executions.actions import start_run
from apps.executions.engine.ports import LogLevel, LogSink, StepCall, StepDone, StopSignal
from apps.kit.graphql.nodes import global_id
from apps.kit.ids import uuid7
from apps.tenancy import scope
from apps.tenancy.actions import remove_member
from apps.tenancy.actors import Permission, Role
from apps.versions.models import WorkflowVersion
from apps.workflows.actions import create_workflow
from apps.workflows.graph import catalogue
from apps.workflows.graph.document import parse
from config import socket as socket_module
from tests.executions import world
from tests.factories import tenancy as make
from tests.factories.graphs import OWN_TYPES, a, raw, to
from tests.graphql.calls import browser, key_of
from tests.graphql.sockets import Socket, converse, refused, socket

pytestmark = pytest.mark.django_db(transaction=True)

EVENTS = """subscription($run: ID!, $after: BigInt) {
  executionEvents(executionId: $run, afterSeq: $after) {
    __typename
    ... on ExecutionStatusChanged { seq execution { id status workflow { name } finishedAt } }
    ... on NodeRunChanged { seq nodeRun { nodeId status attempt outputPreview } }
    ... on LogAppended { lines { message level nodeId seq } }
    ... on MetricSampled { name value }
  }
}"""


@pytest.fixture
def nodes() -> Iterator[None]:
    """The tests' node types."""
    for node_type in OWN_TYPES:
        catalogue.register(node_type)
    yield
    for node_type in OWN_TYPES:
        del catalogue.INSTALLED._by_key[node_type.key]


def queued(tenant: make.Tenant, steps: int = 3) -> uuid.UUID:
    """A run of a chain, not yet worked on."""
    names = [f"n{number}" for number in range(steps)]
    links = [to(one, other) for one, other in itertools.pairwise(names)]
    document = raw([a(name, "keyed") for name in names], links)
    with scope.tenant(tenant.id, actor=tenant.owner):
        drawn = create_workflow(actor=tenant.owner, document=document)
        run = start_run(actor=tenant.owner, workflow_id=drawn.pk)
        version = WorkflowVersion.objects.get(pk=run.version_id)
        world.VERSIONS.documents[run.version_id] = parse(version.document)
    key: uuid.UUID = run.pk
    return key


def work(tenant: make.Tenant, run_id: uuid.UUID) -> None:
    """Run it to its end in this process."""

    def step(call: StepCall, stop: StopSignal, logs: LogSink) -> StepDone:
        logs.log(f"at {call.path}", level=LogLevel.INFO, fields={})
        logs.metric("rows", value=7.0)
        return StepDone(outputs={"value": call.path})

    with world.worker(world.ScriptedRunner(script=step)):
        world.finished(tenant, run_id)
    if threading.current_thread() is not threading.main_thread():
        connections.close_all()


async def watch(key: str, run: str, after: int | None = None) -> list[dict[str, Any]]:
    """Every event of a run until its stream ends."""
    async with socket() as one:
        assert (await one.init(apiKey=key))["type"] == "connection_ack"
        await one.subscribe("1", EVENTS, run=run, after=None if after is None else str(after))
        messages = await one.until_over()
    assert messages[-1]["type"] == "complete", messages[-1]
    return [message["payload"]["data"]["executionEvents"] for message in messages[:-1]]


def seqs(events: list[dict[str, Any]]) -> list[int]:
    """The history's sequence as it arrived."""
    return [int(event["seq"]) for event in events if "seq" in event]


@pytest.mark.usefixtures("nodes")
def test_a_finished_run_is_replayed_without_a_gap(acme: make.Tenant) -> None:
    run = queued(acme)
    work(acme, run)
    key = key_of(acme.owner)

    events = converse(lambda: watch(key, global_id("Execution", run)))

    assert seqs(events) == list(range(1, len(seqs(events)) + 1))
    statuses = [e["execution"]["status"] for e in events if "execution" in e]
    assert statuses == ["QUEUED", "RUNNING", "SUCCEEDED"]
    done = [e["nodeRun"]["nodeId"] for e in events if "nodeRun" in e]
    assert done == ["n0", "n1", "n2"]
    lines = [line["message"] for e in events for line in e.get("lines", ())]
    assert lines == ["at n0", "at n1", "at n2"]
    assert [e["value"] for e in events if e["__typename"] == "MetricSampled"] == [7.0, 7.0, 7.0]


@pytest.mark.usefixtures("nodes")
def test_a_snapshot_is_as_old_as_its_event(acme: make.Tenant) -> None:
    run = queued(acme)
    work(acme, run)
    key = key_of(acme.owner)

    first, *_ = converse(lambda: watch(key, str(run)))

    assert first["execution"]["status"] == "QUEUED"
    assert first["execution"]["finishedAt"] is None
    assert first["execution"]["workflow"]["name"]


@pytest.mark.usefixtures("nodes")
def test_a_watcher_that_comes_back_gets_what_follows(acme: make.Tenant) -> None:
    run = queued(acme)
    work(acme, run)
    key = key_of(acme.owner)

    events = converse(lambda: watch(key, str(run), after=3))

    assert seqs(events)[0] == 4


@pytest.mark.usefixtures("nodes")
def test_a_run_is_followed_while_it_runs(acme: make.Tenant) -> None:
    run = queued(acme, steps=12)
    key = key_of(acme.owner)

    async def talk() -> list[dict[str, Any]]:
        watching = asyncio.create_task(watch(key, str(run)))
        await asyncio.sleep(0.5)
        worker = threading.Thread(target=work, args=(acme, run))
        worker.start()
        events = await watching
        await asyncio.to_thread(worker.join)
        return events

    events = converse(talk)

    assert seqs(events) == list(range(1, len(seqs(events)) + 1))
    assert events[-1]["__typename"] in {"ExecutionStatusChanged", "LogAppended", "MetricSampled"}
    assert [e for e in events if "execution" in e][-1]["execution"]["status"] == "SUCCEEDED"


async def first_error(key: str, query: str, **variables: Any) -> dict[str, Any]:
    """The error of a subscription that is refused."""
    async with socket() as one:
        await one.init(apiKey=key)
        await one.subscribe("1", query, **variables)
        message = await one.receive()
    found = message["payload"] if message["type"] == "error" else message["payload"]["errors"]
    error: dict[str, Any] = found[0]
    error["extensions"].pop("requestId")
    return error


@pytest.mark.usefixtures("nodes")
def test_a_foreign_run_is_told_like_a_random_one(acme: make.Tenant, globex: make.Tenant) -> None:
    run, key = queued(globex), key_of(acme.owner)

    foreign = converse(lambda: first_error(key, EVENTS, run=global_id("Execution", run)))
    random = converse(lambda: first_error(key, EVENTS, run=global_id("Execution", uuid7())))

    assert foreign == random
    assert foreign["extensions"]["code"] == "NOT_FOUND"


@pytest.mark.usefixtures("nodes")
def test_a_removed_member_hears_no_more(acme: make.Tenant) -> None:
    editor = make.member(acme, role=Role.EDITOR)
    run, key = queued(acme), key_of(editor)

    async def talk() -> list[dict[str, Any]]:
        async with socket() as one:
            await one.init(apiKey=key)
            await one.subscribe("1", EVENTS, run=str(run))
            await one.receive()
            await asyncio.to_thread(remove)
            return await one.until_over()

    def remove() -> None:
        with scope.tenant(acme.id, actor=acme.owner):
            remove_member(actor=acme.owner, user_id=editor.user_id or uuid7())
        connections.close_all()

    *_, last, _ = converse(talk)

    assert last["payload"]["errors"][0]["extensions"]["code"] == "UNAUTHENTICATED"


def test_a_subscription_needs_its_scope(acme: make.Tenant) -> None:
    key = key_of(acme.owner, Permission.AUDIT_READ)

    error = converse(lambda: first_error(key, EVENTS, run=str(uuid7())))

    assert error["extensions"]["code"] == "FORBIDDEN"


def test_queries_do_not_travel_over_the_socket(acme: make.Tenant) -> None:
    key = key_of(acme.owner)

    error = converse(lambda: first_error(key, "{ viewer { displayName } }"))

    assert error["extensions"]["code"] == "INVALID"


def test_a_bad_key_is_refused(acme: make.Tenant) -> None:
    async def talk() -> dict[str, Any]:
        async with socket() as one:
            return await one.init(apiKey="nsx_wrong")

    assert converse(talk) == {"type": "close", "code": 4403}


def test_nobody_is_refused() -> None:
    async def talk() -> dict[str, Any]:
        async with socket() as one:
            return await one.init()

    assert converse(talk) == {"type": "close", "code": 4403}


def test_a_session_opens_the_socket(acme: make.Tenant) -> None:
    client = browser(acme.owner)
    cookie = client.cookies[settings.SESSION_COOKIE_NAME].value
    headers = [(b"cookie", f"{settings.SESSION_COOKIE_NAME}={cookie}".encode())]

    async def talk() -> dict[str, Any]:
        async with socket(headers=headers) as one:
            return await one.init(tenant="acme")

    assert converse(talk) == {"type": "connection_ack"}


@pytest.mark.parametrize(
    "arguments",
    [
        {"path": "/elsewhere"},
        {"headers": [(b"origin", b"https://evil.example")]},
    ],
)
def test_the_handshake_is_refused(arguments: dict[str, Any]) -> None:
    assert converse(lambda: refused(**arguments))


def test_the_old_protocol_is_not_spoken() -> None:
    async def talk() -> dict[str, Any]:
        async with socket(protocols=["graphql-ws"]) as one:
            return await one.receive()

    assert converse(talk) == {"type": "close", "code": 4406}


async def probe(key: str, *messages: Any) -> dict[str, Any]:
    """What follows an acknowledged connection that sends these."""
    async with socket() as one:
        await one.init(apiKey=key)
        for message in messages:
            await one.send_text(message if isinstance(message, str) else json.dumps(message))
        return await one.receive()


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ("not json", 4400),
        ({"type": "connection_init"}, 4429),
        ({"type": "nonsense"}, 4400),
        ({"type": "subscribe"}, 4400),
        ("x" * 70_000, 1009),
    ],
)
def test_a_socket_that_misbehaves_is_closed(acme: make.Tenant, message: Any, code: int) -> None:
    key = key_of(acme.owner)

    assert converse(lambda: probe(key, message)) == {"type": "close", "code": code}


def test_nothing_is_served_before_the_connection_is_initialized() -> None:
    async def talk() -> dict[str, Any]:
        async with socket() as one:
            await one.subscribe("1", EVENTS, run=str(uuid7()))
            return await one.receive()

    assert converse(talk) == {"type": "close", "code": 4401}


@pytest.mark.usefixtures("nodes")
def test_a_socket_holds_ten_subscriptions(acme: make.Tenant) -> None:
    run, key = queued(acme), key_of(acme.owner)

    async def open_many(one: Socket) -> dict[str, Any]:
        await one.init(apiKey=key)
        for number in range(11):
            await one.subscribe(str(number), EVENTS, run=str(run))
        while True:
            message = await one.receive()
            if message["type"] == "error":
                return message

    async def talk() -> dict[str, Any]:
        async with socket() as one:
            return await open_many(one)

    assert converse(talk)["id"] == "10"


def test_an_uninitialized_socket_is_closed_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket_module, "INIT_WITHIN", dt.timedelta(milliseconds=50))

    async def talk() -> dict[str, Any]:
        async with socket() as one:
            return await one.receive()

    assert converse(talk) == {"type": "close", "code": 4408}
