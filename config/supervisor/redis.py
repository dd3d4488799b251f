"""One Redis server of our own: loopback, a password, nothing kept on disk."""

from __future__ import annotations

import platform
import secrets
import socket
import time
from pathlib import Path
from typing import Final

from config.supervisor import binaries, keys, ports
from config.supervisor.failure import CannotStart
from config.supervisor.processes import Child, Command

READY_SECONDS: Final = 20.0
# On some kernels of aarch64 a fork that saves could write damaged data, and the server refuses
# to start; ours saves nothing.
_KERNEL_WARNINGS: Final = (
    "ignore-warnings ARM64-COW-BUG\n" if platform.machine() == "aarch64" else ""
)


class RedisServer:
    """A Redis server as our child; it is a doorbell, so losing it loses nothing."""

    def __init__(self, directory: Path, *, port: int) -> None:
        self._directory = directory
        self._port = port
        self._password = secrets.token_urlsafe(24)
        self._child: Child | None = None

    @property
    def url(self) -> str:
        """Its address with its password."""
        return f"redis://:{self._password}@{ports.LOOPBACK}:{self._port}/0"

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._started().pid

    def _started(self) -> Child:
        if self._child is None:
            raise RuntimeError("Redis was not started")
        return self._child

    def exit_code(self) -> int | None:
        """None while it runs."""
        return self._child.exit_code() if self._child else None

    def start(self) -> None:
        """Start it and wait until it takes connections."""
        keys.private_directory(self._directory)
        log = self._directory / "redis.log"
        self._child = Child(
            Command(
                name="redis",
                argv=[str(binaries.redis().path), str(self._configuration())],
                log=log,
            )
        )
        deadline = time.monotonic() + READY_SECONDS
        while time.monotonic() < deadline:
            if self._child.exit_code() is not None:
                raise CannotStart(
                    f"Redis ended while starting; {log} ends with:\n{self._child.log_tail()}"
                )
            with socket.socket() as probe:
                if probe.connect_ex((ports.LOOPBACK, self._port)) == 0:
                    return
            time.sleep(0.02)
        self._child.kill()
        raise CannotStart(f"Redis was not ready after {READY_SECONDS:.0f} s: read {log}.")

    def stop(self) -> None:
        """End it."""
        if self._child:
            self._child.stop()

    def _configuration(self) -> Path:
        # A file, because a command line shows its password to every user of the machine.
        path = self._directory / "redis.conf"
        path.unlink(missing_ok=True)
        path.touch(mode=keys.OWNER_ONLY)
        path.write_text(
            f"bind {ports.LOOPBACK}\n"
            f"port {self._port}\n"
            f"requirepass {self._password}\n"
            f'dir "{self._directory}"\n'
            'save ""\n'
            "appendonly no\n"
            "maxmemory-policy noeviction\n"
            f"{_KERNEL_WARNINGS}"
        )
        return path
