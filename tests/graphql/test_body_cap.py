"""The edge's cap: what is too large never reaches Django."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from config.body_cap import BodyCap


def served(*bodies: bytes, length: int | None) -> tuple[list[bytes], int | None]:
    """What the application got of these chunks, and the status that was sent."""
    got: list[bytes] = []
    status: list[int] = []
    chunks = [{"type": "http.request", "body": b, "more_body": True} for b in bodies]

    async def application(scope: Any, receive: Any, send: Any) -> None:
        for _ in chunks:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            got.append(message["body"])
        await send({"type": "http.response.start", "status": 200, "headers": []})

    async def receive() -> dict[str, Any]:
        return chunks[len(got)]

    async def send(message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start":
            status.append(message["status"])

    headers = [] if length is None else [(b"content-length", str(length).encode())]
    scope = {"type": "http", "headers": headers}
    asyncio.run(BodyCap(application, most=10)(scope, receive, send))
    return got, status[0] if status else None


def test_what_fits_is_passed_on() -> None:
    assert served(b"12345", b"67890", length=10) == ([b"12345", b"67890"], 200)


@pytest.mark.parametrize("length", [11, 10**30])
def test_what_says_it_is_too_large_is_refused_unread(length: int) -> None:
    assert served(b"1", length=length) == ([], 413)


def test_a_body_that_grows_is_refused_when_it_is_too_large() -> None:
    assert served(b"12345", b"67890", b"1", length=None) == ([b"12345", b"67890"], 413)
