"""One statement on the caller's connection, without a cursor, which costs more than it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, TypeAlias, cast
from uuid import UUID

import psycopg
from django.db import connection
from psycopg.errors import error_from_result
from psycopg.pq import ConnStatus, ExecStatus

from apps.executions.store.appends import quoted

Value: TypeAlias = UUID | str | int | float | Sequence[str] | None
_DONE: Final = (ExecStatus.TUPLES_OK, ExecStatus.COMMAND_OK)


def row_of(statement: str, values: Sequence[Value]) -> tuple[str | None, ...] | None:
    """The first row, as text. `statement` takes $1, $2 … with a cast each.

    Outside transactions only: Django begins one with the first statement of a cursor. Raises what
    a cursor would.
    """
    if connection.in_atomic_block:
        raise RuntimeError("a transaction is open: use a cursor")
    connection.ensure_connection()
    if connection.queries_logged:  # Whoever counts statements counts this one, too.
        connection.queries_log.append({"sql": statement, "time": ""})
    given = [None if value is None else _bytes(value) for value in values]
    with connection.wrap_database_errors:
        psycopg_connection = cast("psycopg.Connection[Any]", connection.connection)
        with psycopg_connection.lock:
            pgconn = psycopg_connection.pgconn
            # The stub forgets that None is NULL.
            result = pgconn.exec_params(statement.encode(), cast("Sequence[bytes]", given))
        if result.status not in _DONE:
            if pgconn.status != ConnStatus.OK:
                message = result.get_error_message() or "the connection is lost"
                raise psycopg.OperationalError(message)
            raise error_from_result(result)
    if not result.ntuples:
        return None
    cells = (result.get_value(0, column) for column in range(result.nfields))
    return tuple(None if cell is None else cell.decode() for cell in cells)


def _bytes(value: UUID | str | int | float | Sequence[str]) -> bytes:
    match value:
        case str():
            return value.encode()
        case UUID() | int() | float():
            return str(value).encode()
        case _:
            return quoted(value)
