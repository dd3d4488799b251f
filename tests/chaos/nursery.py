"""Real worker processes for a test: forked from one zygote, struck, resumed, buried."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from typing import IO, Any

import psycopg

from config.supervisor import kernel
from tests import database
from tests.chaos.sink import Sink
from tests.chaos.strikes import Blow

LEASE = 3.0
SHORT: Mapping[str, float] = {"lease_seconds": LEASE, "beat_seconds": 0.75, "trust_seconds": 2.0}
TRUSTING: Mapping[str, float] = {**SHORT, "trust_seconds": 3600.0}
"""Of zombies: only the fence stands between them and the run."""
SECONDS = 60.0


@dataclass
class Worker:
    """One process; `said` are its words so far."""

    id: str
    worker_id: uuid.UUID
    pid: int = 0
    said: list[str] = field(default_factory=list)
    died: bool = False

    def at(self) -> str | None:
        """The last crash point that struck it."""
        return next((w.removeprefix("at ") for w in reversed(self.said) if w[:3] == "at "), None)

    def signal(self, number: signal.Signals) -> None:
        """Nothing happens to one that has died."""
        if self.pid and not self.died:
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)


class Nursery:
    """Starts workers and hears what they say."""

    def __init__(self, sink: Sink, child: subprocess.Popen[bytes], errors: IO[bytes]) -> None:
        self.sink = sink
        self.child = child
        self.errors = errors
        self.workers: dict[str, Worker] = {}
        self.changed = threading.Condition()
        self.is_ready = False
        self.reader = threading.Thread(target=self._listen, daemon=True)
        self.reader.start()

    def know(self, documents: Mapping[str, Any]) -> None:
        """What the workers born from now on find for a version."""
        self._tell({"know": dict(documents)})

    def born(
        self,
        pools: Sequence[str],
        *,
        blows: Sequence[Blow] = (),
        settings: Mapping[str, Any] = SHORT,
        **told: Any,
    ) -> Worker:
        """A worker process on its way; wait for its "ready"."""
        worker = Worker(id=f"w{len(self.workers)}", worker_id=uuid.uuid4())
        self.workers[worker.id] = worker
        self._tell(
            {
                "id": worker.id,
                "worker": str(worker.worker_id),
                "sink": self.sink.port,
                "pools": list(pools),
                "blows": [asdict(blow) for blow in blows],
                "settings": dict(settings),
                **told,
            }
        )
        return worker

    def hear(self, worker: Worker, words: str, *, seconds: float = SECONDS) -> bool:
        """Whether the worker says so in time; False at once when it has died without."""
        with self.changed:
            return self.changed.wait_for(
                lambda: any(said.startswith(words) for said in worker.said) or worker.died, seconds
            ) and any(said.startswith(words) for said in worker.said)

    def buried(self, worker: Worker, *, seconds: float = SECONDS) -> bool:
        """Whether the process has ended in time."""
        with self.changed:
            return self.changed.wait_for(lambda: worker.died, seconds)

    def kill(self, worker: Worker) -> None:
        """At once, wherever it is."""
        self.hear(worker, "pid")
        worker.signal(signal.SIGKILL)

    def living(self) -> list[Worker]:
        """Those that have not died."""
        return [worker for worker in self.workers.values() if not worker.died]

    def log_tail(self) -> str:
        """The end of what they wrote to stderr."""
        self.errors.flush()
        size = os.fstat(self.errors.fileno()).st_size
        with open(self.errors.name, "rb") as log:  # noqa: PTH123 - a file by its open name
            log.seek(max(0, size - 4000))
            return log.read().decode(errors="replace")

    def log_of(self, worker: Worker, *, lines: int = 20) -> str:
        """What the engine said of one of them, and when."""
        return self.log_with(str(worker.worker_id), lines=lines)

    def log_with(self, words: str, *, lines: int = 20) -> str:
        """What was said with these words in it, last."""
        self.errors.flush()
        with open(self.errors.name, "rb") as log:  # noqa: PTH123 - a file by its open name
            told = log.read().decode(errors="replace").splitlines()
        return "\n".join([line for line in told if words in line][-lines:])

    def _tell(self, command: Mapping[str, Any]) -> None:
        assert self.child.stdin is not None
        self.child.stdin.write(json.dumps(command).encode() + b"\n")
        self.child.stdin.flush()

    def _listen(self) -> None:
        assert self.child.stdout is not None
        for line in self.child.stdout:
            who, _, words = line.decode().strip().partition(" ")
            with self.changed:
                if worker := self.workers.get(who):
                    worker.said.append(words)
                    if words.startswith("pid"):
                        worker.pid = int(words.split()[1])
                    worker.died = worker.died or words.startswith("died")
                else:
                    self.is_ready = True
                self.changed.notify_all()
        # The one that would say who has died is gone, and all of them with it: wait for nobody.
        with self.changed:
            for worker in self.workers.values():
                worker.died = True
            self.changed.notify_all()


@contextmanager
def opened(sink: Sink) -> Iterator[Nursery]:
    """A nursery; every process of it has died when the block ends."""
    environment = {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "config.settings.test",
        "NSTARX_DATABASE_ROLE": "engine",
        "DATABASE_ENGINE_URL": database.url("engine"),
    }
    with (
        tempfile.NamedTemporaryFile(prefix="nstarx-chaos-", suffix=".log") as errors,
        subprocess.Popen(
            [sys.executable, "-m", "tests.chaos.zygote"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            env=environment,
        ) as child,
    ):
        nursery = Nursery(sink, child, errors)
        try:
            with nursery.changed:
                if not nursery.changed.wait_for(lambda: nursery.is_ready, SECONDS):
                    raise RuntimeError(f"no worker can be born: {nursery.log_tail()}")
            yield nursery
        finally:
            for worker in nursery.living():
                worker.signal(signal.SIGKILL)
            child.kill()
            child.wait()
            nursery.reader.join(timeout=5)
            _expire(nursery)


def _expire(nursery: Nursery) -> None:
    """Nobody waits for the leases of the dead."""
    with (
        suppress(psycopg.OperationalError),
        psycopg.connect(database.url("engine"), autocommit=True) as direct,
    ):
        for worker in nursery.workers.values():
            direct.execute("SELECT engine_worker_died_1(%s)", (worker.worker_id,))
    while kernel.children(nursery.child.pid):
        time.sleep(0.01)
