"""How the worker and a step's process talk: JSON in length-prefixed frames over one socket."""

from __future__ import annotations

import json
import os
import select
import socket
import struct
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

MAX_FRAME = 64 << 20
_HEADER = struct.Struct(">I")
_CHUNK = 1 << 16
_WAIT_SECONDS = 0.1


class ChannelClosedError(Exception):
    """The other side is gone or no longer speaks the protocol."""


class Channel:
    """One end; not for several threads at once.

    Read with `most_values`, a frame of more is refused unread: in memory each value takes twenty
    times what it takes on the way.
    """

    def __init__(self, connection: socket.socket, *, most_values: int | None = None) -> None:
        self._connection = connection
        self._most_values = most_values
        self._buffer = bytearray()

    def send(
        self, message: Mapping[str, Any], *, meanwhile: Callable[[], object] | None = None
    ) -> None:
        """Write one message; raises ChannelClosedError.

        Whoever does not read can be waited for in vain: `meanwhile`, called now and then, may raise
        what ends the waiting.
        """
        data = json.dumps(message, allow_nan=False).encode()
        if len(data) > MAX_FRAME:
            raise ValueError(f"A message of {len(data)} bytes is over the {MAX_FRAME} allowed.")
        frame = _HEADER.pack(len(data)) + data
        try:
            if meanwhile is None:
                self._connection.sendall(frame)
            else:
                self._send_patiently(frame, meanwhile)
        except OSError as error:
            raise ChannelClosedError from error

    def _send_patiently(self, frame: bytes, meanwhile: Callable[[], object]) -> None:
        left = memoryview(frame)
        while left:
            _, writable, _ = select.select([], [self._connection], [], _WAIT_SECONDS)
            if writable:
                with suppress(BlockingIOError):
                    left = left[self._connection.send(left, socket.MSG_DONTWAIT) :]
            else:
                meanwhile()

    def receive(self, *, seconds: float | None = None) -> dict[str, Any] | None:
        """The next message, None when none came in time; raises ChannelClosedError."""
        until = None if seconds is None else time.monotonic() + seconds
        while True:
            message = self._next()
            if message is not None:
                return message
            left = None if until is None else max(0.0, until - time.monotonic())
            readable, _, _ = select.select([self._connection], [], [], left)
            if not readable:
                return None
            self._fill()

    def move(self, descriptor: int) -> None:
        """Be at this descriptor, whatever was there before."""
        if self._connection.fileno() != descriptor:
            os.dup2(self._connection.fileno(), descriptor, inheritable=False)
            self._connection.close()
            self._connection = socket.socket(fileno=descriptor)

    def close(self) -> None:
        """Hang up."""
        self._connection.close()

    def _fill(self) -> None:
        try:
            data = self._connection.recv(_CHUNK)
        except OSError as error:
            raise ChannelClosedError from error
        if not data:
            raise ChannelClosedError
        self._buffer += data

    def _next(self) -> dict[str, Any] | None:
        if len(self._buffer) < _HEADER.size:
            return None
        (size,) = _HEADER.unpack_from(self._buffer)
        if size > MAX_FRAME:
            raise ChannelClosedError
        end = _HEADER.size + size
        if len(self._buffer) < end:
            return None
        data = bytes(self._buffer[_HEADER.size : end])
        del self._buffer[:end]
        if self._most_values is not None and _values_in(data) > self._most_values:
            raise ChannelClosedError
        try:
            message = json.loads(data)
        except (ValueError, RecursionError) as error:
            raise ChannelClosedError from error
        if not isinstance(message, dict):
            raise ChannelClosedError
        return message


def _values_in(data: bytes) -> int:
    """At most so many; what stands in texts counts, too."""
    return sum(map(data.count, (b",", b"[", b"{")))
