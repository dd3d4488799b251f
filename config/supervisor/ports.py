"""Which loopback ports are free, and what to say about one that is not."""

from __future__ import annotations

import errno
import socket
from typing import Final

from config.supervisor.failure import CannotStart

LOOPBACK: Final = "127.0.0.1"
NEIGHBORS: Final = 20


def is_free(port: int) -> bool:
    """Whether a server could listen on this loopback port now."""
    with socket.socket() as probe:
        # Servers set this too, so a port in TIME_WAIT after a restart counts as free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError as error:
            if error.errno in {errno.EADDRINUSE, errno.EACCES}:
                return False
            raise
    return True


def any_free() -> int:
    """A loopback port nobody listens on, chosen by the kernel."""
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        port: int = probe.getsockname()[1]
    return port


def choose(preferred: int, *, neighbors: int = NEIGHBORS) -> int:
    """The preferred port, else the next free one above it, else any."""
    for port in range(preferred, min(preferred + neighbors, 65_535) + 1):
        if is_free(port):
            return port
    return any_free()


def demand(port: int, *, what: str, variable: str) -> int:
    """A port the operator insists on; a busy one is named."""
    if not 0 < port < 65_536:
        raise CannotStart(f"{variable}={port} is not a port: set a number from 1 to 65535.")
    if not is_free(port):
        raise CannotStart(
            f"Port {port} for {what} is busy on {LOOPBACK}: stop what listens there "
            f"(`ss -ltnp 'sport = :{port}'` names it), set {variable} to another port, or unset it."
        )
    return port
