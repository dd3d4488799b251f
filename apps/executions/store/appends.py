"""Appends on the wire: the statements that every step pays for, without a cursor."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
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
    "SELECT engine_append_few_7($1::uuid, $2::uuid, $3::uuid, $4::int, $5::int, $6::text, $7::text,"
    " $8::text, $9::int, $10::jsonb, $11::text, $12::text, $13::int, $14::jsonb)"
)
_APPEND_MANY: Final = (
    "SELECT engine_append_many_7($1::uuid, $2::uuid[], $3::uuid[], $4::int[], $5::int[],"
    " $6::text[], $7::int[], $8::text[], $9::text[], $10::int[], $11::jsonb[])"
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
    rows, change = batch.rows, batch.change
    if change.is_plain and 1 <= len(rows) <= FEW:
        return connection.call(_APPEND_FEW, _few(claim, batch)).get_value(0, 0) == b"t"
    text = change_text(change)
    given = (*claim.keys, b"%d" % batch.head, b"%d" % batch.settled, *_columns(rows))
    arguments = (*given, None if text is None else text.encode())
    return connection.call(_APPEND, arguments).get_value(0, 0) == b"t"


def send(
    connection: Connection, tenant_id: UUID, posts: Sequence[Posted]
) -> Callable[[], Collection[UUID]]:
    """Plain batches of several runs of one tenant, on their way in one statement.

    What is returned waits for the answer: the runs whose fence held; the others' are left out.
    """
    first = posts[0]
    if len(posts) == 1 and 1 <= len(first.batch.rows) <= FEW:
        connection.send(_APPEND_FEW, _few(first.claim, first.batch))
        mine = (first.claim.run_id,)
        return lambda: mine if connection.answer().get_value(0, 0) == b"t" else ()
    ordered = sorted(posts, key=lambda post: post.claim.run_id)
    connection.send(_APPEND_MANY, _many(tenant_id, ordered))
    return lambda: _ids(connection.answer().get_value(0, 0))


def _few(claim: Claim, batch: Batch) -> tuple[bytes | None, ...]:
    rows, status = batch.rows, batch.change.status
    cells = [cell for row in rows for cell in _cells(row)]
    numbers = (b"%d" % batch.head, b"%d" % batch.settled)
    state = None if status is None else status.encode()
    return (*claim.keys, *numbers, state, *cells, *_ABSENT[len(rows)])


def _many(tenant_id: UUID, posts: Sequence[Posted]) -> tuple[bytes | None, ...]:
    batches = [post.batch for post in posts]
    return (
        tenant_id.hex.encode(),
        plain(post.claim.run_id.hex for post in posts),
        plain(post.claim.token.hex for post in posts),
        plain(batch.head for batch in batches),
        plain(batch.settled for batch in batches),
        plain(batch.change.status for batch in batches),
        plain(len(batch.rows) for batch in batches),
        *_columns([row for batch in batches for row in batch.rows]),
    )


def _ids(text: bytes | None) -> Collection[UUID]:
    inside = (text or b"{}").decode()[1:-1]
    return {UUID(one) for one in inside.split(",")} if inside else ()


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
