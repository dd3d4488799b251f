"""A client of graphql-transport-ws for tests, on the real ASGI application."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from asgiref import testing

from config.asgi import application

T = TypeVar("T")
PROTOCOL = "graphql-transport-ws"
PATIENCE = 10
# asgiref annotates nothing here.
COMMUNICATOR: Any = testing.ApplicationCommunicator


class HandshakeRefused(Exception):
    """The server closed before it accepted."""


class Socket:
    """One connection."""

    def __init__(self, communicator: Any) -> None:
        self.communicator = communicator

    async def send(self, **message: Any) -> None:
        """One message."""
        await self.send_text(json.dumps(message))

    async def send_text(self, text: str) -> None:
        """Anything at all."""
        await self.communicator.send_input({"type": "websocket.receive", "text": text})

    async def receive(self) -> dict[str, Any]:
        """The next message, or {"type": "close", "code": …}."""
        output = await self.communicator.receive_output(timeout=PATIENCE)
        if output["type"] == "websocket.close":
            return {"type": "close", "code": output.get("code")}
        found: dict[str, Any] = json.loads(output["text"])
        return found

    async def init(self, **payload: Any) -> dict[str, Any]:
        """Say who we are; the answer."""
        await self.send(type="connection_init", payload=payload)
        return await self.receive()

    async def subscribe(self, name: str, query: str, **variables: Any) -> None:
        """Begin an operation."""
        payload = {"query": query, "variables": variables}
        await self.send(id=name, type="subscribe", payload=payload)

    async def until_over(self) -> list[dict[str, Any]]:
        """Every message of one operation, up to its end."""
        messages = []
        while True:
            message = await self.receive()
            messages.append(message)
            if message["type"] in {"complete", "error", "close"}:
                return messages


@asynccontextmanager
async def socket(
    *, path: str = "/graphql", protocols: list[str] | None = None, headers: Any = ()
) -> AsyncIterator[Socket]:
    """An accepted connection."""
    communicator = COMMUNICATOR(
        application,
        {
            "type": "websocket",
            "scheme": "ws",
            "path": path,
            "query_string": b"",
            "headers": [(b"host", b"testserver"), *headers],
            "client": ("127.0.0.1", 50_000),
            "subprotocols": [PROTOCOL] if protocols is None else protocols,
        },
    )
    await communicator.send_input({"type": "websocket.connect"})
    answer = await communicator.receive_output(timeout=PATIENCE)
    if answer["type"] != "websocket.accept":
        raise HandshakeRefused
    try:
        yield Socket(communicator)
    finally:
        await communicator.send_input({"type": "websocket.disconnect", "code": 1000})
        await communicator.wait(timeout=PATIENCE)


async def refused(**arguments: Any) -> bool:
    """Whether the handshake is turned down."""
    try:
        async with socket(**arguments):
            return False
    except HandshakeRefused:
        return True


def converse(talk: Callable[[], Awaitable[T]]) -> T:
    """Run a conversation to its end."""

    async def run() -> T:
        return await talk()

    return asyncio.run(run())
