"""Forks worker processes from one that has imported everything, so that each costs milliseconds.

usage: python -m tests.chaos.zygote; commands on stdin, one JSON object a line: {"know": documents},
{"id": …, …} as `worker.work` takes it. Answers on stdout: "<id> <words>".
"""

from __future__ import annotations

import json
import os
import select
import signal
import sys
from typing import Any, Final

import django

from config.supervisor import kernel

django.setup()

from tests.chaos import nodes, worker  # noqa: E402 - after setup

LOOK_SECONDS: Final = 0.02


def say(who: str, words: str) -> None:
    """One write, so that lines of several processes do not mix."""
    os.write(1, f"{who} {words}\n".encode())


class Zygote:
    """No threads, no connections: what it forks begins clean."""

    def __init__(self) -> None:
        self.documents: dict[str, Any] = {}
        self.children: dict[int, str] = {}
        self.unread = b""

    def serve(self) -> None:
        """Until stdin ends; children end with this process."""
        say("-", "ready")
        while True:
            readable, _, _ = select.select([0], [], [], LOOK_SECONDS)
            if readable:
                data = os.read(0, 1 << 16)
                if not data:
                    return
                *lines, self.unread = (self.unread + data).split(b"\n")
                for line in lines:
                    self.obey(json.loads(line))
            self.bury()

    def obey(self, told: dict[str, Any]) -> None:
        """Learn documents, or fork a worker."""
        if "know" in told:
            self.documents |= told["know"]
            return
        me = os.getpid()
        pid = os.fork()
        if pid == 0:
            kernel.die_with_parent(signal.SIGKILL, parent=me)
            code = 70
            try:
                worker.work(told, self.documents, lambda words: say(told["id"], words))
                code = 0
            finally:
                sys.stderr.flush()
                os._exit(code)
        self.children[pid] = told["id"]
        say(told["id"], f"pid {pid}")

    def bury(self) -> None:
        """Report the dead."""
        while self.children:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return
            say(self.children.pop(pid), f"died {os.waitstatus_to_exitcode(status)}")


if __name__ == "__main__":
    nodes.install()
    kernel.die_with_parent(signal.SIGKILL, parent=os.getppid())
    Zygote().serve()
    # Children are asked to die by the kernel as soon as this one has.
    os._exit(0)
