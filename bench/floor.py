"""The floor: the same durable writes with no engine at all, one commit per step."""

from __future__ import annotations

import time
import uuid
from typing import Any

import psycopg

from bench.nodes import fibonacci

_TABLES = """
CREATE TABLE IF NOT EXISTS floor_run (id uuid PRIMARY KEY, state text NOT NULL DEFAULT 'running');
CREATE TABLE IF NOT EXISTS floor_step (run uuid, n int, body jsonb,
  at timestamptz NOT NULL DEFAULT clock_timestamp(), PRIMARY KEY (run, n));
"""
_STEP = "INSERT INTO floor_step (run, n, body) VALUES (%s, %s, %s)"


class Floor:
    """A connection to a database of its own tables."""

    def __init__(self, url: str) -> None:
        self._connection: psycopg.Connection[Any] = psycopg.connect(url, autocommit=True)
        self._connection.execute(_TABLES)

    def chain(self, steps: int) -> float:
        """Seconds for a run of so many steps in sequence: insert, one commit per step, update."""
        run = uuid.uuid4()
        began = time.perf_counter()
        self._connection.execute("INSERT INTO floor_run (id) VALUES (%s)", (run,), prepare=True)
        for n in range(steps):
            body = f'{{"value": {{"v": {fibonacci(10)}}}}}'
            self._connection.execute(_STEP, (run, n, body), prepare=True)
        self._connection.execute(
            "UPDATE floor_run SET state = 'done' WHERE id = %s", (run,), prepare=True
        )
        return time.perf_counter() - began
