"""The web process: the ASGI application behind a socket that the supervisor holds for it."""

from __future__ import annotations

import socket
import sys
from typing import Final

import uvicorn

GRACE_SECONDS: Final = 3
LONGEST_MESSAGE: Final = 65_536
"""Bytes of one WebSocket message: no subscription needs more; the consumer has the same cap."""


def serve(listening: socket.socket, *, application: str = "config.asgi:application") -> None:
    """Until SIGTERM. The socket outlives us: who connects meanwhile waits for the next process."""
    config = uvicorn.Config(
        application,
        lifespan="off",
        access_log=False,
        log_level="warning",
        timeout_graceful_shutdown=GRACE_SECONDS,
        ws_max_size=LONGEST_MESSAGE,
    )
    uvicorn.Server(config).run(sockets=[listening])


if __name__ == "__main__":
    serve(socket.socket(fileno=int(sys.argv[1])))
