"""The seam of every outgoing connection: resolve once, judge all, connect to the number."""

import queue
import socket
import ssl
import time
from collections.abc import Iterable
from contextvars import ContextVar
from threading import Thread
from typing import Any, Final

import anyio
import anyio.to_thread
import httpcore

from apps.kit.egress.policy import EgressPolicy, refused

_MAX_ADDRESSES_TRIED: Final = 4
_WRITE_PIECE: Final = 64 * 1024

# The end of the exchange in monotonic seconds. A socket's own timeout starts again with every byte
# that drips in.
deadline: ContextVar[float | None] = ContextVar("egress_deadline", default=None)


def _left(timeout: float | None, expired: type[httpcore.TimeoutException]) -> float | None:
    end = deadline.get()
    if end is None:
        return timeout
    left = end - time.monotonic()
    if left <= 0:
        raise expired("the exchange took too long")
    return left if timeout is None else min(timeout, left)


def look_up(host: str, port: int) -> tuple[str, ...]:
    """Every address of a name, in the resolver's order; none if it has none."""
    try:
        answers = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return ()
    return tuple(dict.fromkeys(str(answer[4][0]) for answer in answers))


def _look_up_within(host: str, port: int, *, timeout: float | None) -> tuple[str, ...]:
    """The C library offers no time limit for a look-up, so a thread of its own waits for it."""
    answers: queue.SimpleQueue[tuple[str, ...]] = queue.SimpleQueue()
    Thread(
        target=lambda: answers.put(look_up(host, port)), name="egress-look-up", daemon=True
    ).start()
    try:
        return answers.get(timeout=timeout)
    except queue.Empty:
        raise httpcore.ConnectTimeout("the name was not resolved in time") from None


class _TimedStream(httpcore.NetworkStream):
    """A stream whose every operation ends with the exchange it belongs to."""

    def __init__(self, stream: httpcore.NetworkStream) -> None:
        self._stream = stream

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max_bytes, _left(timeout, httpcore.ReadTimeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        for start in range(0, len(buffer), _WRITE_PIECE):
            piece = buffer[start : start + _WRITE_PIECE]
            self._stream.write(piece, _left(timeout, httpcore.WriteTimeout))

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore.NetworkStream:
        left = _left(timeout, httpcore.ConnectTimeout)
        return _TimedStream(self._stream.start_tls(ssl_context, server_hostname, left))

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


class GuardedBackend(httpcore.NetworkBackend):
    """Opens connections for threads."""

    def __init__(self, policy: EgressPolicy) -> None:
        self._policy = policy
        self._sockets = httpcore.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.NetworkStream:
        """A connection to the first judged address that accepts one. Raises EgressError."""
        if not self._policy.allows(host, port):
            raise refused()
        left = _left(timeout, httpcore.ConnectTimeout)
        found = _look_up_within(host, port, timeout=left)
        failure: Exception = httpcore.ConnectError("no address")
        for address in self._policy.judged(host, port, found)[:_MAX_ADDRESSES_TRIED]:
            left = _left(timeout, httpcore.ConnectTimeout)
            try:
                return _TimedStream(
                    self._sockets.connect_tcp(address, port, left, local_address, socket_options)
                )
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
        raise failure

    def connect_unix_socket(
        self,
        path: str,
        timeout: float | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.NetworkStream:
        """Never."""
        raise refused()


class AsyncGuardedBackend(httpcore.AsyncNetworkBackend):
    """Opens connections for coroutines; the caller's cancel scope is their deadline."""

    def __init__(self, policy: EgressPolicy) -> None:
        self._policy = policy
        self._sockets = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """A connection to the first judged address that accepts one. Raises EgressError."""
        if not self._policy.allows(host, port):
            raise refused()
        found: tuple[str, ...] = ()
        with anyio.move_on_after(timeout) as waiting:
            found = await anyio.to_thread.run_sync(look_up, host, port, abandon_on_cancel=True)
        if waiting.cancelled_caught:
            raise httpcore.ConnectTimeout("the name was not resolved in time")
        failure: Exception = httpcore.ConnectError("no address")
        for address in self._policy.judged(host, port, found)[:_MAX_ADDRESSES_TRIED]:
            try:
                return await self._sockets.connect_tcp(
                    address, port, timeout, local_address, socket_options
                )
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
        raise failure

    async def connect_unix_socket(
        self,
        path: str,
        timeout: float | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Never."""
        raise refused()
