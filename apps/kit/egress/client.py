"""The two clients, for threads and for coroutines, around one description of an exchange."""

import functools
import ssl
import time
from collections.abc import Mapping
from types import TracebackType
from typing import Final, Self

import anyio
import httpcore
import httpx

from apps.kit.egress.exchange import Call, EgressResponse, Exchange, Sink, faults
from apps.kit.egress.network import AsyncGuardedBackend, GuardedBackend, deadline
from apps.kit.egress.policy import EgressPolicy

_MAX_CONNECTIONS: Final = 10
_KEEP_ALIVE_SECONDS: Final = 15.0


@functools.lru_cache(maxsize=1)
def _trust() -> ssl.SSLContext:
    return httpx.create_ssl_context(trust_env=False)


class EgressClient:
    """Sends requests from threads.

    One client per policy: its open connections are allowed for that policy only.
    """

    def __init__(self, policy: EgressPolicy, *, tls: ssl.SSLContext | None = None) -> None:
        self._policy = policy
        self._pool = httpcore.ConnectionPool(
            ssl_context=tls or _trust(),
            max_connections=_MAX_CONNECTIONS,
            keepalive_expiry=_KEEP_ALIVE_SECONDS,
            network_backend=GuardedBackend(policy),
        )

    def request(  # noqa: PLR0913 - one argument for each part of a request, all named
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        params: Mapping[str, str] | None = None,
        json: object | None = None,
        content: bytes | None = None,
        timeout_seconds: float | None = None,
        sink: Sink | None = None,
    ) -> EgressResponse:
        """Send one request and read its answer; with a `sink`, pass the body on piece by piece.

        Raises EgressError. `timeout_seconds` can only shorten the policy's time.
        """
        call = Call(
            method=method, url=url, headers=headers, params=params, json=json, content=content
        )
        exchange = Exchange(call, self._policy, timeout_seconds)
        end = deadline.set(time.monotonic() + exchange.seconds)
        try:
            with faults():
                while True:
                    response = self._pool.handle_request(exchange.wire_request())
                    try:
                        head = httpx.Headers(response.headers)
                        if exchange.goes_on(response.status, head):
                            continue
                        body = exchange.body(head, sink)
                        for piece in response.iter_stream():
                            body.feed(piece)
                        return exchange.answer(response.status, head, body.finish())
                    finally:
                        response.close()
        finally:
            deadline.reset(end)

    def close(self) -> None:
        """Close every open connection."""
        self._pool.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


class AsyncEgressClient:
    """Sends requests from coroutines; the same rules as `EgressClient`."""

    def __init__(self, policy: EgressPolicy, *, tls: ssl.SSLContext | None = None) -> None:
        self._policy = policy
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=tls or _trust(),
            max_connections=_MAX_CONNECTIONS,
            keepalive_expiry=_KEEP_ALIVE_SECONDS,
            network_backend=AsyncGuardedBackend(policy),
        )

    async def request(  # noqa: PLR0913 - as above
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        params: Mapping[str, str] | None = None,
        json: object | None = None,
        content: bytes | None = None,
        timeout_seconds: float | None = None,
        sink: Sink | None = None,
    ) -> EgressResponse:
        """See `EgressClient.request`."""
        call = Call(
            method=method, url=url, headers=headers, params=params, json=json, content=content
        )
        exchange = Exchange(call, self._policy, timeout_seconds)
        with faults(), anyio.fail_after(exchange.seconds):
            while True:
                response = await self._pool.handle_async_request(exchange.wire_request())
                try:
                    head = httpx.Headers(response.headers)
                    if exchange.goes_on(response.status, head):
                        continue
                    body = exchange.body(head, sink)
                    async for piece in response.aiter_stream():
                        body.feed(piece)
                    return exchange.answer(response.status, head, body.finish())
                finally:
                    await response.aclose()

    async def close(self) -> None:
        """Close every open connection."""
        await self._pool.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()
