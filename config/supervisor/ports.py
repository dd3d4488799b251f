"""Which loopback ports are free, and what to say about one that is not."""

from __future__ import annotations

import errno
import socket
from typing import Final

from config.supervisor.failure import CannotStart

LOOPBACK: Final = "127.0.0.1"
NEIGHBORS: Final = 20
BACKLOG: Final = 2_048


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


def hold(preferred: int = 0, *, neighbors: int = NEIGHBORS) -> socket.socket:
    """A listening socket on the port that `choose` would name: nobody else gets it any more."""
    for port in range(preferred, min(preferred + neighbors, 65_535) + 1) if preferred else ():
        if (held := _listening(port)) is not None:
            return held
    held = _listening(0)
    if held is None:
        raise CannotStart(f"No port is free on {LOOPBACK}: stop something that listens there.")
    return held


def demand(port: int, *, what: str, variable: str) -> socket.socket:
    """The port the operator insists on, held; a busy one is named."""
    if not 0 < port < 65_536:
        raise CannotStart(f"{variable}={port} is not a port: set a number from 1 to 65535.")
    held = _listening(port)
    if held is None:
        raise CannotStart(
            f"Port {port} for {what} is busy on {LOOPBACK}: stop what listens there "
            f"(`ss -ltnp 'sport = :{port}'` names it), set {variable} to another port, or unset it."
        )
    return held


def _listening(port: int) -> socket.socket | None:
    """None when somebody else has the port."""
    held = socket.socket()
    held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        held.bind((LOOPBACK, port))
        held.listen(BACKLOG)
    except OSError as error:
        held.close()
        if error.errno in {errno.EADDRINUSE, errno.EACCES}:
            return None
        raise
    return held
