"""The floor: the same durable writes with no engine at all, one commit per step."""

from __future__ import annotations

import threading
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg

from bench.documents import CHAIN, FAN, SHORT
from bench.figures import Timing
from bench.work import QUICK, fibonacci

THREADS = 8
_TABLES = """
CREATE TABLE IF NOT EXISTS floor_run (id uuid PRIMARY KEY, state text NOT NULL DEFAULT 'running');
CREATE TABLE IF NOT EXISTS floor_step (run uuid, n int, body jsonb,
  at timestamptz NOT NULL DEFAULT clock_timestamp(), PRIMARY KEY (run, n));
"""
_RUN = "INSERT INTO floor_run (id) VALUES (%s)"
_STEP = "INSERT INTO floor_step (run, n, body) VALUES (%s, %s, %s)"
_DONE = "UPDATE floor_run SET state = 'done' WHERE id = %s"


class Floor:
    """Connections to tables of its own, one per thread; every statement is a durable commit."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._local = threading.local()
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="floor")
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(_TABLES)

    def chain(self) -> Timing:
        """W1: insert a run, one commit per step, mark it done."""
        began = time.perf_counter()
        self._run(CHAIN)
        return Timing(seconds=time.perf_counter() - began)

    def fan(self) -> Timing:
        """W2: the same with the middle steps on threads."""
        began = time.perf_counter()
        run = uuid.uuid4()
        self._execute(_RUN, run)
        self._step(run, 0)
        list(self._threads.map(lambda n: self._step(run, n), range(1, FAN + 1)))
        self._step(run, FAN + 1)
        self._execute(_DONE, run)
        return Timing(seconds=time.perf_counter() - began)

    def many(self, runs: int) -> Timing:
        """W3: so many short chains on threads."""
        began = time.perf_counter()
        list(self._threads.map(lambda _: self._run(SHORT), range(runs)))
        return Timing(seconds=time.perf_counter() - began)

    def _run(self, steps: int) -> None:
        run = uuid.uuid4()
        self._execute(_RUN, run)
        for n in range(steps):
            self._step(run, n)
        self._execute(_DONE, run)

    def _step(self, run: uuid.UUID, n: int) -> None:
        self._execute(_STEP, run, n, f'{{"value": {{"v": {fibonacci(QUICK)}}}}}')

    def _execute(self, statement: str, *values: object) -> None:
        connection: psycopg.Connection[Any] | None = getattr(self._local, "connection", None)
        if connection is None:
            connection = psycopg.connect(self._url, autocommit=True)
            self._local.connection = connection
        connection.execute(statement, values, prepare=True)
