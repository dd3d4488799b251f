"""Who makes the weather: kills workers, stops them, flushes Redis, restarts PostgreSQL."""

from __future__ import annotations

import os
import queue
import random
import signal
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import redis

from config.supervisor import worker_rows
from config.supervisor.backends import Backends
from tests.chaos.deaths import Deaths
from tests.chaos.nursery import LEASE, Nursery, Worker
from tests.chaos.recoveries import Recoveries
from tests.chaos.stalls import Stalls

Monkey = Callable[[threading.Event], None]
LOOK_SECONDS = 0.2


class Crew:
    """So many workers at any time: who dies is replaced."""

    def __init__(
        self, nursery: Nursery, url: str, *, size: int, seen: bool = False, **told: Any
    ) -> None:
        self.nursery = nursery
        self.url = url
        self.size = size
        self.seen = seen
        """Whether somebody sees each death and says so at once."""
        self.told = told
        self.workers: list[Worker] = []
        self.everybody: list[Worker] = []
        self.held: set[str] = set()
        self.deaths = Deaths(url)
        self.recoveries = Recoveries(url, self.deaths)
        self.stalls = Stalls()
        self.kills = 0
        self.restarts = 0
        self.chores: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        """For the main thread: a server dies with the thread that started it."""
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._threads = [self._thread(self._replace), self._thread(self._watch)]

    def also(self, monkey: Monkey) -> None:
        """One more, until the end."""
        self._threads.append(self._thread(lambda: monkey(self._over)))

    def close(self) -> None:
        """No more weather; all workers die."""
        self._over.set()
        self.stalls.close()
        for thread in self._threads:
            thread.join(timeout=5)
        for worker in self.workers:
            self.nursery.kill(worker)
            self.nursery.buried(worker)

    def fenced(self) -> int:
        """How often a worker was refused or gave a run up."""
        return sum(worker.said.count("fenced") for worker in self.everybody)

    def victim(self, chance: random.Random) -> Worker | None:
        """Somebody who works."""
        with self._lock:
            ready = [w for w in self.workers if "ready" in w.said and w.id not in self.held]
        return chance.choice(ready) if ready else None

    def kill(self, worker: Worker) -> None:
        """Somebody must take over what it held."""
        self.recoveries.killing(worker.worker_id)
        self.nursery.kill(worker)
        self.kills += 1
        self.recoveries.mourn(worker.worker_id)
        if self.seen:
            # As the supervisor does, which is the parent of its workers.
            worker_rows.expire(self.url, worker.worker_id, report=print)

    def restarted(self) -> None:
        """The database is back: nobody could take anything over before."""
        self.restarts += 1
        self.recoveries.restarted()

    def _thread(self, target: Callable[[], None]) -> threading.Thread:
        thread = threading.Thread(target=target, daemon=True)
        thread.start()
        return thread

    def _replace(self) -> None:
        number = 0
        while not self._over.wait(0.05):
            for worker in [one for one in self.workers if one.died]:
                self.recoveries.mourn(worker.worker_id)
            with self._lock:
                self.workers = [worker for worker in self.workers if not worker.died]
                while len(self.workers) < self.size:
                    number += 1
                    told = {
                        name: fact(number) if callable(fact) else fact
                        for name, fact in self.told.items()
                    }
                    worker = self.nursery.born(("io", "cpu"), seed=number, **told)
                    self.workers.append(worker)
                    self.everybody.append(worker)

    def _watch(self) -> None:
        while not self._over.wait(LOOK_SECONDS):
            self.recoveries.look()


def killer(crew: Crew, seed: str, *, every: float = 0.5) -> Monkey:
    """A worker dies about so often, in seconds."""
    chance = random.Random(f"{seed} kills")

    def work(over: threading.Event) -> None:
        while not over.wait(every * chance.uniform(0.4, 1.6)):
            if worker := crew.victim(chance):
                crew.kill(worker)

    return work


def stopper(crew: Crew, seed: str) -> Monkey:
    """A worker is stopped for one to two leases, and comes back."""
    chance = random.Random(f"{seed} stops")

    def work(over: threading.Event) -> None:
        while not over.wait(chance.uniform(0.5, 1.5)):
            worker = crew.victim(chance)
            if worker is not None and len(crew.held) < crew.size // 2:
                crew.held.add(worker.id)
                worker.signal(signal.SIGSTOP)
                crew.recoveries.mourn(worker.worker_id)
                back = threading.Timer(
                    chance.uniform(1.1, 2.0) * LEASE, _resume, args=(crew, worker)
                )
                back.daemon = True
                back.start()

    return work


def _resume(crew: Crew, worker: Worker) -> None:
    worker.signal(signal.SIGCONT)
    crew.held.discard(worker.id)


def redis_monkey(crew: Crew, servers: Backends, *, down: float) -> Monkey:
    """Redis is gone for a while, then emptied every five seconds."""

    def work(over: threading.Event) -> None:
        if servers.redis is None:
            return
        over.wait(2)
        crew.chores.put(servers.redis.stop)
        over.wait(down)
        crew.chores.put(servers.redis.start)
        while not over.wait(5):
            with suppress(redis.RedisError):
                redis.Redis.from_url(servers.redis_url).flushall()

    return work


def _once(happened: threading.Event, over: threading.Event) -> bool:
    """Whether it happens before all is over."""
    while not happened.wait(0.2):
        if over.is_set():
            return False
    return True


def postgres_monkey(crew: Crew, servers: Backends, seed: str) -> Monkey:
    """PostgreSQL is restarted, immediately, every four to fifteen seconds."""
    chance = random.Random(f"{seed} restarts")
    back = threading.Event()
    back.set()

    def restart() -> None:
        if servers.cluster is not None:
            crew.deaths.of_all()
            os.kill(servers.cluster.pid, signal.SIGQUIT)
            while servers.cluster.exit_code() is None:
                time.sleep(0.02)
            servers.cluster.start()
            crew.restarted()
        back.set()

    def work(over: threading.Event) -> None:
        # On a busy machine recovery takes longer than the pause: it lives before it dies again.
        while _once(back, over) and not over.wait(chance.uniform(4, 15)):
            back.clear()
            crew.chores.put(restart)

    return work
