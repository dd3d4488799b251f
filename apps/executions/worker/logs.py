"""What steps write, on its way to run_log: gathered, capped, flushed each second or 64 KiB."""

from __future__ import annotations

import datetime as dt
import logging
import threading
from collections.abc import Callable, Mapping
from typing import Final
from uuid import UUID

import psycopg

from apps.executions.engine.ports import LogLevel, StepCall
from apps.executions.engine.storable import Unstorable, dumps
from apps.executions.store import statements
from apps.executions.store.connections import Connections
from apps.executions.store.statements import Line
from apps.workflows.graph.declaration import Json

logger = logging.getLogger(__name__)

FLUSH_SECONDS: Final = 1.0
FLUSH_BYTES: Final = 64 * 1024
ATTEMPT_BYTES: Final = 1024 * 1024
MESSAGE_CHARACTERS: Final = 8_000
FIELDS_BYTES: Final = 8 * 1024
BACKLOG_BYTES: Final = 16 * 1024 * 1024
"""Kept while the database is away; beyond it lines are dropped, never the process."""


class LogBook:
    """All sinks of a process and the thread that writes their lines."""

    def __init__(
        self,
        connections: Connections,
        *,
        now: Callable[[], dt.datetime],
        tell: Callable[[UUID], None],
    ) -> None:
        self.now = now
        self._connections = connections
        self._tell = tell
        self._lock = threading.Lock()
        self._lines: list[Line] = []
        self._progress: dict[tuple[UUID, str], Line] = {}
        self._bytes = 0
        self._full = threading.Event()
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="engine-log", daemon=True)
        self._thread.start()

    def open(self, call: StepCall) -> AttemptLog:
        """The sink of one attempt."""
        return AttemptLog(self, call)

    def add(self, line: Line, *, size: int) -> None:
        """One more line; never blocks on the database."""
        with self._lock:
            if self._bytes >= BACKLOG_BYTES:
                return
            self._lines.append(line)
            self._bytes += size
            if self._bytes >= FLUSH_BYTES:
                self._full.set()

    def note_progress(self, line: Line) -> None:
        """Only the latest of a step is written."""
        with self._lock:
            self._progress[line.run_id, line.path] = line

    def close(self) -> None:
        """Write what is left."""
        self._closing = True
        self._full.set()
        self._thread.join(timeout=5)

    def _run(self) -> None:
        while not self._closing:
            self._full.wait(FLUSH_SECONDS)
            self._full.clear()
            self._flush()
        self._flush()

    def _flush(self) -> None:
        with self._lock:
            lines = [*self._lines, *self._progress.values()]
            size, self._bytes = self._bytes, 0
            self._lines = []
            self._progress.clear()
        tenants: dict[UUID, list[Line]] = {}
        for line in lines:
            tenants.setdefault(line.tenant_id, []).append(line)
        for tenant_id in list(tenants):
            try:
                statements.write_log(self._connections.get(), tenant_id, tenants[tenant_id])
            except (psycopg.OperationalError, psycopg.InterfaceError) as error:
                logger.warning("log lines wait for the database: %s", error)
                self._connections.drop()
                self._keep([line for mine in tenants.values() for line in mine], size=size)
                return
            except Exception:
                logger.exception("%d log lines were lost", len(tenants[tenant_id]))
                self._connections.drop()
            for run_id in {line.run_id for line in tenants.pop(tenant_id)}:
                self._tell(run_id)

    def _keep(self, lines: list[Line], *, size: int) -> None:
        """Back in front of what has come since."""
        with self._lock:
            self._lines = lines + self._lines
            self._bytes += size


class AttemptLog:
    """The engine's LogSink for one attempt."""

    def __init__(self, book: LogBook, call: StepCall) -> None:
        self._book = book
        self._call = call
        self._bytes = 0
        self._is_full = False

    def log(self, message: str, *, level: LogLevel, fields: Mapping[str, Json]) -> None:
        """One line; the text is cut at 8,000 characters, fields over 8 KiB are left out."""
        self._write("log", level, _clean(message), fields)

    def metric(self, name: str, *, value: float) -> None:
        """One sample."""
        self._write("metric", LogLevel.INFO, _clean(name), {"value": value})

    def progress(self, *, done: int, total: int | None) -> None:
        """How far the step is."""
        fields = dumps({"done": done, "total": total}, limit=FIELDS_BYTES)
        self._book.note_progress(self._line("progress", LogLevel.INFO, "", fields))

    def _write(self, kind: str, level: LogLevel, text: str, fields: Mapping[str, Json]) -> None:
        if self._is_full:
            return
        encoded = _fields(fields)
        size = len(text) + len(encoded or "") + 64
        self._bytes += size
        if self._bytes > ATTEMPT_BYTES:
            self._is_full = True
            level, encoded = LogLevel.WARN, None
            text = "This attempt has written 1 MiB of log; the rest is left out."
        self._book.add(self._line(kind, level, text, encoded), size=size)

    def _line(self, kind: str, level: LogLevel, text: str, fields: str | None) -> Line:
        call = self._call
        return Line(
            tenant_id=call.tenant_id,
            run_id=call.run_id,
            path=call.path,
            attempt=call.attempt,
            kind=kind,
            level=level.value,
            message=text,
            fields=fields,
            at=self._book.now(),
        )


def _clean(text: str) -> str:
    return text[:MESSAGE_CHARACTERS].encode("utf-8", "replace").decode().replace("\x00", "")


def _fields(fields: Mapping[str, Json]) -> str | None:
    if not fields:
        return None
    try:
        return dumps(dict(fields), limit=FIELDS_BYTES)
    except Unstorable:
        return None
