"""Connections of the engine's role: one per thread, autocommit, with a limit on every wait."""

from __future__ import annotations

import os
import select
import socket
import threading
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Final, cast

import psycopg
from django.conf import settings
from psycopg.conninfo import make_conninfo
from psycopg.errors import error_from_result
from psycopg.pq import ConnStatus, ExecStatus
from psycopg.pq.abc import PGresult

OPTIONS: Final = (
    "-c timezone=UTC -c statement_timeout=10s -c lock_timeout=5s"
    # Who stands still in the middle holds runs and lanes that others are to take over.
    " -c idle_in_transaction_session_timeout=1s"
    # What a function does is planned once, not anew for its first calls.
    " -c plan_cache_mode=force_generic_plan"
    # It stays while a table grows that was small: none that reads all of it.
    " -c enable_seqscan=off"
)
_DONE: Final = (ExecStatus.TUPLES_OK, ExecStatus.COMMAND_OK)


class Connection(psycopg.Connection[tuple[Any, ...]]):
    """With a way around the cursor for what is called for every step."""

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self._names: dict[str, bytes] = {}
        self._is_cut = False

    def __del__(self, *given: Any) -> None:
        # Whose line was cut from outside is closed by nobody: its thread may never look again.
        if not getattr(self, "_is_cut", False):
            super().__del__(*given)

    def call(self, sql: str, arguments: Sequence[bytes | None]) -> PGresult:
        """One round trip: prepared on the first call, everything in PostgreSQL's text form.

        `sql` takes $1, $2 … with a cast each. Costs a fifth of a cursor's CPU. Raises what a
        cursor would.
        """
        with self.lock:
            name = self._names.get(sql) or self._prepare(sql)
            # The stub forgets that None is NULL.
            given = cast("Sequence[bytes]", arguments)
            return self._checked(self.pgconn.exec_prepared(name, given))

    def send(self, sql: str, arguments: Sequence[bytes | None]) -> None:
        """What `call` does, without its answer: `answer` waits for that, and comes next."""
        with self.lock:
            name = self._names.get(sql) or self._prepare(sql)
            self.pgconn.send_query_prepared(name, cast("Sequence[bytes]", arguments))
            while self.pgconn.flush():
                self._line(select.POLLOUT | select.POLLIN)
                self.pgconn.consume_input()

    def answer(self) -> PGresult:
        """Of what `send` has sent. Raises what `call` does."""
        with self.lock:
            pgconn = self.pgconn
            pgconn.consume_input()
            while pgconn.is_busy():
                self._line(select.POLLIN)
                pgconn.consume_input()
            result = pgconn.get_result()
            if result is None:
                raise psycopg.OperationalError("somebody else has taken the answer")
            while pgconn.get_result() is not None:
                pass
            return self._checked(result)

    def _line(self, events: int) -> None:
        """Wait for the line; other threads run meanwhile."""
        poll = select.poll()
        poll.register(self.pgconn.socket, events)
        poll.poll()

    def end(self) -> None:
        """Close it from another thread than its own.

        Inside `call` libpq still stands on what closing would free: then only the line is cut, and
        the thread that calls gets an error.
        """
        if self.lock.acquire(blocking=False):
            try:
                self.close()
            finally:
                self.lock.release()
            return
        self._is_cut = True
        with suppress(OSError, psycopg.Error), socket.socket(fileno=os.dup(self.fileno())) as line:
            line.shutdown(socket.SHUT_RDWR)

    def _prepare(self, sql: str) -> bytes:
        name = b"engine_%d" % len(self._names)
        self._checked(self.pgconn.prepare(name, sql.encode()))
        self._names[sql] = name
        return name

    def _checked(self, result: PGresult) -> PGresult:
        if result.status in _DONE:
            return result
        if self.pgconn.status != ConnStatus.OK:
            raise psycopg.OperationalError(result.get_error_message() or "the connection is lost")
        raise error_from_result(result)


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
        self._is_closed = False

    def get(self) -> Connection:
        """This thread's connection.

        Raises psycopg.OperationalError when there is no server, or after `close_all`.
        """
        held: Connection | None = getattr(self._local, "connection", None)
        if held is not None and not held.closed:
            return held
        self._local.connection = connection = self.open()
        return connection

    def open(self) -> Connection:
        """One more, of nobody: whoever asks for it closes it. Raises what `get` does."""
        connection = Connection.connect(
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
        with self._lock:
            if not self._is_closed:
                self._open.add(connection)
                return connection
        # A thread that was left behind: nobody would ever close what it opens.
        connection.close()
        raise psycopg.OperationalError("this process has closed its connections")

    def drop(self) -> None:
        """Close this thread's connection: after an error nobody knows what it is good for."""
        held: Connection | None = getattr(self._local, "connection", None)
        if held is not None:
            self._local.connection = None
            self.close(held)

    def close(self, connection: Connection) -> None:
        """Nobody uses it any more."""
        with self._lock:
            self._open.discard(connection)
        connection.close()

    def close_all(self) -> None:
        """At the end of the process; threads that still use theirs get an error."""
        with self._lock:
            self._is_closed = True
            connections, self._open = self._open, set()
        for connection in connections:
            connection.end()


class Shared:
    """The connection of the thread that makes this, lent to others that live shortly."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections
        self._lock = threading.Lock()
        self._first = self._held = connections.get()

    def get(self) -> Connection:
        """The one connection. Raises psycopg.OperationalError when there is no server."""
        with self._lock:
            if self._held.closed:
                self._held = self._connections.open()
            return self._held

    def drop(self) -> None:
        """Close it: after an error nobody knows what it is good for."""
        with self._lock:
            self._connections.close(self._held)

    def release(self) -> None:
        """Nobody is lent to any more; the first goes on with its thread."""
        with self._lock:
            if self._held is not self._first:
                self._connections.close(self._held)
