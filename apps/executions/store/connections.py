"""Connections of the engine's role: one per thread, autocommit, with a limit on every wait."""

from __future__ import annotations

import threading
from typing import Any, Final

import psycopg
from django.conf import settings
from psycopg.conninfo import make_conninfo

OPTIONS: Final = (
    "-c timezone=UTC -c statement_timeout=10s -c lock_timeout=5s"
    " -c idle_in_transaction_session_timeout=15s"
)
Connection = psycopg.Connection[tuple[Any, ...]]


def conninfo_from_settings() -> str:
    """The address of the default database with the login of this process."""
    database: dict[str, Any] = settings.DATABASES["default"]
    return make_conninfo(
        host=database["HOST"],
        port=database["PORT"],
        dbname=database["NAME"],
        user=database["USER"],
        password=database["PASSWORD"],
    )


class Connections:
    """Hands each thread a connection of its own and replaces it after a failure."""

    def __init__(self, conninfo: str) -> None:
        self._conninfo = conninfo
        self._local = threading.local()
        self._lock = threading.Lock()
        self._open: set[Connection] = set()

    def get(self) -> Connection:
        """This thread's connection. Raises psycopg.OperationalError when there is no server."""
        held: Connection | None = getattr(self._local, "connection", None)
        if held is not None and not held.closed:
            return held
        connection = psycopg.connect(
            self._conninfo,
            autocommit=True,
            connect_timeout=5,
            options=OPTIONS,
            application_name="nstarx-engine",
            keepalives_idle=10,
            keepalives_interval=3,
            keepalives_count=3,
            tcp_user_timeout=15_000,
        )
        # A plan per shape of arguments would be made again and again otherwise.
        connection.prepare_threshold = 0
        self._local.connection = connection
        with self._lock:
            self._open.add(connection)
        return connection

    def drop(self) -> None:
        """Close this thread's connection: after an error nobody knows what it is good for."""
        held: Connection | None = getattr(self._local, "connection", None)
        if held is not None:
            self._local.connection = None
            with self._lock:
                self._open.discard(held)
            held.close()

    def close_all(self) -> None:
        """At the end of the process; threads that still use theirs get an error."""
        with self._lock:
            connections, self._open = self._open, set()
        for connection in connections:
            connection.close()
