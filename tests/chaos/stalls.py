"""Whether the machine itself stood still: then leases of three seconds end that nobody broke."""

from __future__ import annotations

import subprocess
import sys
import threading
from typing import Final

LOOK_SECONDS: Final = 0.1
STALL_SECONDS: Final = 1.0
"""So late, a beat of the workers may be as well."""
_WATCH: Final = """
import os, sys, time
parent, seen = os.getppid(), time.monotonic()
while os.getppid() == parent:
    time.sleep(float(sys.argv[1]))
    seen, before = time.monotonic(), seen
    if seen - before > float(sys.argv[2]):
        print(seen - before, flush=True)
"""


class Stalls:
    """A process that does nothing but look at the clock, as a worker's heartbeat does."""

    def __init__(self) -> None:
        self.seconds: list[float] = []
        command = [sys.executable, "-c", _WATCH, str(LOOK_SECONDS), str(STALL_SECONDS)]
        self._child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def close(self) -> None:
        """Look no more."""
        self._child.kill()
        self._child.wait()
        self._reader.join(timeout=5)

    def told(self) -> str:
        """Nothing where the machine kept time."""
        if not self.seconds:
            return ""
        return (
            f"the machine stood still {len(self.seconds)} times, {max(self.seconds):.1f} s at most"
        )

    def _read(self) -> None:
        assert self._child.stdout is not None
        with self._child.stdout:
            self.seconds += [float(line) for line in self._child.stdout]
