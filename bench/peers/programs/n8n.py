"""n8n: main mode on PostgreSQL, webhook to the last node's answer, every execution saved.

PEER_PROGRESS=1 saves after each node: what a durable step is elsewhere. Otherwise, its default, an
execution is written at its start and its end. Its fan is gathered by one merge node.
"""

from __future__ import annotations

import asyncio
import os
import time
import uuid
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx

from bench.documents import CHAIN, FAN, SHORT
from bench.peers.processes import child
from bench.peers.protocol import Case, serve, timed, until

AT_ONCE = 20
SECONDS = 300
_LOGIN = {"email": "bench@example.com", "password": f"B{uuid.uuid4().hex[:12]}1"}
Node = dict[str, Any]


def _node(name: str, kind: str, node_version: float, **parameters: object) -> Node:
    return {
        "id": str(uuid.uuid4()),
        "name": name,
        "type": f"n8n-nodes-base.{kind}",
        "typeVersion": node_version,
        "position": [0, 0],
        "parameters": parameters,
    }


def _sets(name: str, value: str) -> Node:
    """Its cheapest step: one field of small JSON."""
    assigned = {"id": "a", "name": "v", "value": value, "type": "number"}
    return _node(name, "set", 3.4, assignments={"assignments": [assigned]}, options={})


def _workflow(path: str, levels: Sequence[Sequence[Node]]) -> dict[str, Any]:
    """Behind a webhook, each node of a level after each of the level before."""
    hook = _node(
        "Webhook", "webhook", 2, httpMethod="POST", path=path, responseMode="lastNode", options={}
    )
    hook["webhookId"] = path
    connections: dict[str, Any] = {}
    before: Sequence[Node] = [hook]
    for level in levels:
        merges = level[0]["type"].endswith("merge")
        for number, source in enumerate(before):
            targets = [
                {"node": node["name"], "type": "main", "index": number if merges else 0}
                for node in level
            ]
            connections[source["name"]] = {"main": [targets]}
        before = level
    nodes = [hook, *(node for level in levels for node in level)]
    settings = {"executionOrder": "v1"}
    return {"name": path, "nodes": nodes, "connections": connections, "settings": settings}


def _chain(steps: int) -> list[list[Node]]:
    return [[_sets(f"n{i}", "={{ 55 }}")] for i in range(steps)]


def _fan(width: int) -> list[list[Node]]:
    branches = [_sets(f"b{i}", "={{ 55 }}") for i in range(width)]
    merge = _node("last", "merge", 3, numberInputs=width)
    return [[_sets("first", "={{ 55 }}")], branches, [merge]]


class Caller:
    """Its owner, and a client of its webhooks."""

    def __init__(self, url: str) -> None:
        self._url = url
        headers = {"browser-id": "bench"}
        self._client = httpx.Client(base_url=url, timeout=SECONDS, headers=headers, trust_env=False)

    def is_up(self) -> bool:
        """It answers with data: while it migrates, a page that asks for patience is a 200 too."""
        try:
            ready, told = self._client.get("/healthz/readiness"), self._client.get("/rest/settings")
        except httpx.TransportError:
            return False
        is_data = told.headers.get("content-type", "").startswith("application/json")
        return ready.is_success and told.is_success and is_data

    def sign_in(self) -> None:
        """As the owner of a fresh installation."""
        owner = {**_LOGIN, "firstName": "Bench", "lastName": "Owner"}
        self._client.post("/rest/owner/setup", json=owner).raise_for_status()
        given = {"emailOrLdapLoginId": _LOGIN["email"], "password": _LOGIN["password"]}
        self._client.post("/rest/login", json=given).raise_for_status()

    def publish(self, levels: Sequence[Sequence[Node]]) -> str:
        """Save and activate; returns the webhook's path."""
        path = uuid.uuid4().hex
        saved = self._client.post("/rest/workflows", json=_workflow(path, levels))
        made: Mapping[str, Any] = saved.raise_for_status().json()["data"]
        wanted = {"versionId": made["versionId"]}
        self._client.post(f"/rest/workflows/{made['id']}/activate", json=wanted).raise_for_status()
        # It publishes a little later.
        until(lambda: self._client.post(f"/webhook/{path}", json={}).status_code != 404)
        return f"/webhook/{path}"

    def call(self, path: str) -> Any:
        """One execution, to its end."""
        return self._client.post(path, json={}).raise_for_status().json()

    def many(self, path: str, runs: int) -> None:
        """All at once."""

        async def all_of_them() -> None:
            limits = httpx.Limits(max_connections=AT_ONCE)
            async with httpx.AsyncClient(
                base_url=self._url, timeout=SECONDS, limits=limits, trust_env=False
            ) as client:
                answers = await asyncio.gather(*(client.post(path, json={}) for _ in range(runs)))
            for answer in answers:
                answer.raise_for_status()

        asyncio.run(all_of_them())

    def first_step(self, path: str) -> float:
        """Seconds from the trigger to the first node."""
        began = time.time()
        answer = self.call(path)
        item = answer[0] if isinstance(answer, list) else answer
        return float(item["v"]) / 1000 - began


def _environment(home: Path, port: str) -> dict[str, str]:
    database = urlsplit(os.environ["PEER_DATABASE"])
    progress = "true" if os.environ.get("PEER_PROGRESS") == "1" else "false"
    off = "DIAGNOSTICS VERSION_NOTIFICATIONS TEMPLATES PERSONALIZATION HIRING_BANNER"
    return {
        "PATH": f"{Path(os.environ['PEER_NODE']).parent}:{os.environ['PATH']}",
        "N8N_USER_FOLDER": str(home / "home"),
        "N8N_PORT": port,
        "N8N_LISTEN_ADDRESS": "127.0.0.1",
        "N8N_RUNNERS_BROKER_PORT": os.environ["PEER_PORTS"].split()[1],
        "N8N_LOG_LEVEL": "warn",
        "N8N_SECURE_COOKIE": "false",
        "N8N_RUNNERS_MODE": "internal",
        "EXECUTIONS_DATA_SAVE_ON_SUCCESS": "all",
        "EXECUTIONS_DATA_SAVE_ON_ERROR": "all",
        "EXECUTIONS_DATA_SAVE_ON_PROGRESS": progress,
        "DB_TYPE": "postgresdb",
        "DB_POSTGRESDB_HOST": database.hostname or "127.0.0.1",
        "DB_POSTGRESDB_PORT": str(database.port or 5432),
        "DB_POSTGRESDB_USER": database.username or "",
        "DB_POSTGRESDB_PASSWORD": database.password or "",
        "DB_POSTGRESDB_DATABASE": database.path[1:],
        "DB_POSTGRESDB_POOL_SIZE": "10",
        **{f"N8N_{name}_ENABLED": "false" for name in off.split()},
    }


def _cases(caller: Caller) -> dict[str, Case]:
    chain, fan = caller.publish(_chain(CHAIN)), caller.publish(_fan(FAN))
    short = caller.publish(_chain(SHORT))
    first = caller.publish([[_sets("first", "={{ Date.now() }}")]])
    return {
        "w1": lambda _: timed(lambda: caller.call(chain)),
        "w2": lambda _: timed(lambda: caller.call(fan)),
        "w3": lambda runs: timed(lambda: caller.many(short, runs)),
        "w4": lambda _: caller.first_step(first),
    }


def main() -> None:
    """Start it, serve, end it. Branches run one after another there: no W5."""
    home, port = Path(os.environ["PEER_HOME"]), os.environ["PEER_PORT"]
    command = [os.environ["PEER_NODE"], os.environ["PEER_SERVER"], "start"]
    with ExitStack() as stack:
        stack.enter_context(child(command, env=_environment(home, port)))
        caller = Caller(f"http://127.0.0.1:{port}")
        until(caller.is_up, seconds=240)
        caller.sign_in()
        serve(_cases(caller), version=os.environ["PEER_VERSION"])


if __name__ == "__main__":
    main()
