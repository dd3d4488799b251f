"""Appends on the wire: the statements that every step pays for, without a cursor."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final
from uuid import UUID

from apps.executions.engine.codec import Row
from apps.executions.engine.slice_ports import Batch, Claim
from apps.executions.store.connections import Connection
from apps.executions.store.statements import Posted, change_text

_APPEND: Final = (
    "SELECT engine_append_3($1::uuid, $2::uuid, $3::uuid, $4::int, $5::int, $6::text[], $7::text[],"
    " $8::int[], $9::jsonb[], $10::jsonb)"
)
_APPEND_FEW: Final = (
    "SELECT engine_append_few_3($1::uuid, $2::uuid, $3::uuid, $4::int, $5::int, $6::text,"
    " $7::text, $8::int, $9::jsonb, $10::text, $11::text, $12::int, $13::jsonb)"
)
_APPEND_BATCH: Final = (
    "SELECT engine_append_batch_7($1::uuid, $2::uuid[], $3::uuid[], $4::int[], $5::int[],"
    " $6::int[], $7::jsonb[], $8::uuid[], $9::int[], $10::text[], $11::text[], $12::int[],"
    " $13::jsonb[])"
)
FEW: Final = 2
"""Events that need no arrays."""
_ABSENT: Final[tuple[tuple[None, ...], ...]] = ((None,) * 8, (None,) * 4, ())


def append(connection: Connection, claim: Claim, batch: Batch) -> bool:
    """One run's batch, durable on return; False when the fence is another's."""
    return connection.call(*_statement(claim, batch)).get_value(0, 0) == b"t"


def send(connection: Connection, claim: Claim, batch: Batch) -> Callable[[], bool]:
    """The same, on its way; what is returned waits for the answer."""
    connection.send(*_statement(claim, batch))
    return lambda: connection.answer().get_value(0, 0) == b"t"


def _statement(claim: Claim, batch: Batch) -> tuple[str, Sequence[bytes | None]]:
    rows = batch.rows
    given = (*claim.keys, b"%d" % batch.head, b"%d" % batch.settled)
    change = change_text(batch.change)
    if change is None and 1 <= len(rows) <= FEW:
        cells = [cell for row in rows for cell in _cells(row)]
        return _APPEND_FEW, (*given, *cells, *_ABSENT[len(rows)])
    text = None if change is None else change.encode()
    return _APPEND, (*given, *_columns(rows), text)


def _cells(row: Row) -> tuple[bytes | None, ...]:
    return (
        row.type.encode(),
        None if row.path is None else row.path.encode(),
        None if row.attempt is None else b"%d" % row.attempt,
        None if row.body is None else row.body.encode(),
    )


def append_batch(connection: Connection, tenant_id: UUID, posts: Sequence[Posted]) -> set[UUID]:
    """Batches of several runs of one tenant, at most one per run, in one statement.

    Returns the runs whose fence held; the others' batches were left out.
    """
    rows = [row for post in posts for row in post.batch.rows]
    result = connection.call(
        _APPEND_BATCH,
        (
            tenant_id.hex.encode(),
            plain(post.claim.run_id.hex for post in posts),
            plain(post.claim.token.hex for post in posts),
            plain(post.batch.head for post in posts),
            plain(len(post.batch.rows) for post in posts),
            plain(post.batch.settled for post in posts),
            quoted(change_text(post.batch.change) for post in posts),
            plain(post.claim.run_id.hex for post in posts for _ in post.batch.rows),
            plain(
                post.batch.head + n for post in posts for n in range(1, len(post.batch.rows) + 1)
            ),
            *_columns(rows),
        ),
    )
    return {UUID((result.get_value(at, 0) or b"").decode()) for at in range(result.ntuples)}


def _columns(rows: Sequence[Row]) -> tuple[bytes, bytes, bytes, bytes]:
    return (
        plain(row.type for row in rows),
        quoted(row.path for row in rows),
        plain(row.attempt for row in rows),
        quoted(row.body for row in rows),
    )


def plain(values: Iterable[Any]) -> bytes:
    """An array of numbers, ids or names without special characters."""
    return f"{{{','.join('NULL' if one is None else str(one) for one in values)}}}".encode()


def quoted(values: Iterable[str | None]) -> bytes:
    """An array of any texts."""
    texts = (
        "NULL" if one is None else '"' + one.replace("\\", "\\\\").replace('"', '\\"') + '"'
        for one in values
    )
    return f"{{{','.join(texts)}}}".encode()
