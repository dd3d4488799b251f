"""A client of the product's GraphQL API, as a stranger would write one."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect
from websockets.typing import Subprotocol

from tests.journeys.main_job.product import Login, Product

TIMEOUT_SECONDS = 30.0
QUIET_SECONDS = 120.0


class ApiError(Exception):
    """The API answered with top-level errors."""


class Client:
    """One caller: an API key, or a signed-in person."""

    def __init__(self, http: httpx.Client, url: str) -> None:
        self._http = http
        self._url = url

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    @classmethod
    def of(cls, product: Product, login: Login) -> Client:
        """A program with an API key."""
        headers = {"Authorization": f"Bearer {login.api_key}"}
        return cls(httpx.Client(headers=headers, timeout=TIMEOUT_SECONDS), product.graphql)

    def with_key(self, key: str) -> Client:
        """The same product with another key."""
        headers = {"Authorization": f"Bearer {key}"}
        return Client(httpx.Client(headers=headers, timeout=TIMEOUT_SECONDS), self._url)

    @classmethod
    def staff(cls, product: Product) -> Client:
        """A member of the platform's staff."""
        return cls.person(product, product.staff_email, product.staff_password)

    @classmethod
    def person(
        cls, product: Product, email: str, password: str, *, tenant: str | None = None
    ) -> Client:
        """Somebody signed in through the login page, in an organization or in none."""
        http = httpx.Client(timeout=TIMEOUT_SECONDS, follow_redirects=True)
        page = http.get(f"{product.url}/accounts/login/").text
        token = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', page)
        answer = http.post(
            f"{product.url}/accounts/login/",
            data={
                "login": email,
                "password": password,
                "csrfmiddlewaretoken": token[1] if token else "",
            },
            headers={"Referer": product.url},
        )
        if "sessionid" not in http.cookies:
            raise ApiError(f"{email} could not sign in: {answer.status_code}")
        http.headers["X-CSRFToken"] = http.cookies["csrftoken"]
        if tenant:
            http.headers["X-NStarX-Tenant"] = tenant
        return cls(http, product.graphql)

    def ask(self, operation: str, **variables: Any) -> dict[str, Any]:
        """The data of one operation. Raises ApiError for errors outside payloads."""
        body = self.answer(operation, **variables)
        if body.get("errors"):
            raise ApiError(json.dumps(body["errors"])[:800])
        data: dict[str, Any] = body["data"]
        return data

    def answer(self, operation: str, **variables: Any) -> dict[str, Any]:
        """The whole body of one operation, errors included."""
        response = self._http.post(
            self._url, json={"query": operation, "variables": variables}, headers={}
        )
        body: dict[str, Any] = response.json()
        return body

    def post(self, path: str, form: Mapping[str, str]) -> httpx.Response:
        """Hand in a form of a page, as its signed-in reader. Raises ApiError when it is refused."""
        url = self._url.rsplit("/", 1)[0]
        headers = {"Referer": url, "X-CSRFToken": self._http.cookies["csrftoken"]}
        answer = self._http.post(url + path, data=dict(form), headers=headers)
        if not answer.is_success:
            raise ApiError(f"{path} answers {answer.status_code}")
        return answer

    def page(self, path: str) -> httpx.Response:
        """A page of the product as this caller sees it."""
        return self._http.get(self._url.rsplit("/", 1)[0] + path)


EVENTS = """
subscription Events($id: ID!, $after: BigInt) {
  executionEvents(executionId: $id, afterSeq: $after) {
    __typename
    ... on ExecutionStatusChanged { seq execution { status } }
    ... on NodeRunChanged { seq nodeRun { nodeId status } }
  }
}
"""
ENDED = frozenset({"SUCCEEDED", "PARTIAL", "FAILED", "CANCELED", "TIMED_OUT"})


@dataclass
class Live:
    """The events of one run as they arrive over the WebSocket."""

    product: Product
    login: Login
    execution: str
    events: list[dict[str, Any]] = field(default_factory=list)
    problem: str = ""
    first: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self._thread = threading.Thread(target=self._listen, daemon=True)

    def start(self) -> Live:
        """Begin to listen."""
        self._thread.start()
        return self

    def finish(self, *, seconds: float = QUIET_SECONDS) -> list[dict[str, Any]]:
        """All events, once the run has ended or nothing came for long."""
        self._thread.join(seconds)
        return list(self.events)

    @property
    def sequence(self) -> list[int]:
        """The sequence numbers in order of arrival."""
        return [int(event["seq"]) for event in self.events if "seq" in event]

    def _listen(self) -> None:
        try:
            with connect(
                self.product.websocket,
                subprotocols=[Subprotocol("graphql-transport-ws")],
                open_timeout=TIMEOUT_SECONDS,
                proxy=None,
            ) as socket:
                payload = {"apiKey": self.login.api_key}
                socket.send(json.dumps({"type": "connection_init", "payload": payload}))
                self._expect(json.loads(socket.recv(TIMEOUT_SECONDS)), "connection_ack")
                variables = {"id": self.execution, "after": "0"}
                subscribe = {"query": EVENTS, "variables": variables}
                socket.send(json.dumps({"id": "1", "type": "subscribe", "payload": subscribe}))
                while self._take(json.loads(socket.recv(QUIET_SECONDS))):
                    pass
        except (OSError, TimeoutError, ConnectionClosed, ApiError) as error:
            self.problem = f"{type(error).__name__}: {error}"

    @staticmethod
    def _expect(message: dict[str, Any], kind: str) -> None:
        if message["type"] != kind:
            raise ApiError(json.dumps(message)[:400])

    def _take(self, message: dict[str, Any]) -> bool:
        """Keep one message; False when it was the run's end."""
        if message["type"] in {"ping", "pong"}:
            return True
        if message["type"] == "complete":
            return False
        self._expect(message, "next")
        if message["payload"].get("errors"):
            raise ApiError(json.dumps(message["payload"]["errors"])[:400])
        event = message["payload"]["data"]["executionEvents"]
        self.events.append(event)
        self.first.set()
        return event.get("execution", {}).get("status") not in ENDED
