"""The edge's cap on request bodies: Django would put any number of bytes on the disk first."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Final, TypeAlias

Receive: TypeAlias = Callable[[], Awaitable[dict[str, Any]]]
Send: TypeAlias = Callable[[dict[str, Any]], Awaitable[None]]
Application: TypeAlias = Callable[[dict[str, Any], Receive, Send], Awaitable[None]]

# Forms and GraphQL have caps of their own below this; nothing is uploaded through the web.
MOST: Final = 2 * 1024 * 1024
TOO_LARGE: Final = (
    b'{"data": null, "errors": [{"message": "The body is too large: send at most 2 MiB.",'
    b' "extensions": {"code": "INVALID"}}]}'
)


class BodyCap:
    """Refuses by Content-Length, and stops reading a body that grows without one."""

    def __init__(self, application: Any, *, most: int = MOST) -> None:
        self._application = application
        self._most = most

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        """Pass on what fits."""
        if scope["type"] != "http":
            await self._application(scope, receive, send)
        elif _length(scope["headers"]) > self._most:
            await _refuse(send)
        else:
            body = _Body(receive, send, most=self._most)
            await self._application(scope, body.receive, body.send)
            if body.is_too_large and not body.is_answered:
                await _refuse(send)


class _Body:
    """One request's body while it is read; to the application a large one is a client that left."""

    def __init__(self, receive: Receive, send: Send, *, most: int) -> None:
        self._receive = receive
        self._send = send
        self._left = most
        self.is_answered = False

    @property
    def is_too_large(self) -> bool:
        """More came than may."""
        return self._left < 0

    async def receive(self) -> dict[str, Any]:
        """The next piece."""
        message = await self._receive()
        self._left -= len(message.get("body", b""))
        return {"type": "http.disconnect"} if self.is_too_large else message

    async def send(self, message: dict[str, Any]) -> None:
        """A piece of the answer."""
        self.is_answered = True
        await self._send(message)


def _length(headers: Iterable[tuple[bytes, bytes]]) -> int:
    for name, value in headers:
        if name.lower() == b"content-length" and value.isdigit():
            return int(value[:20])
    return 0


async def _refuse(send: Send) -> None:
    headers = [(b"content-type", b"application/json"), (b"connection", b"close")]
    await send({"type": "http.response.start", "status": 413, "headers": headers})
    await send({"type": "http.response.body", "body": TOO_LARGE})
