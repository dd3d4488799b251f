"""The engine's connections: calls without a cursor, their errors, and closing from outside."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from uuid import uuid4

import psycopg
import pytest
from psycopg import errors

from apps.executions.store.appends import plain, quoted
from apps.executions.store.connections import Connection, Connections
from tests import database

pytestmark = pytest.mark.django_db(transaction=True)

PATIENCE = 10.0
TEXTS = ["plain", 'a "quoted" one', "back\\slash", "{braces, commas}", "", "NULL", " ünï ", "a\nb"]


@pytest.fixture
def connections() -> Iterator[Connections]:
    held = Connections(database.url("engine"))
    yield held
    held.close_all()


def prepared(connection: Connection) -> int:
    row = connection.execute(
        "SELECT count(*) FROM pg_prepared_statements WHERE name LIKE 'engine%'"
    ).fetchone()
    assert row is not None
    return int(row[0])


def test_a_call_is_prepared_once(connections: Connections) -> None:
    connection = connections.get()
    answers = [
        connection.call("SELECT $1::int + $2::int", (b"%d" % n, b"1")).get_value(0, 0)
        for n in range(3)
    ]
    connection.call("SELECT $1::text", (None,))

    assert answers == [b"1", b"2", b"3"]
    assert prepared(connection) == 2


def test_who_stands_still_in_a_transaction_loses_it(connections: Connections) -> None:
    still, other = connections.get(), connections.open()
    still.execute("BEGIN")
    still.execute("SELECT pg_advisory_xact_lock(1)")
    # Waits for five seconds at most, as for any lock.
    other.execute("SELECT pg_advisory_xact_lock(1)")
    with pytest.raises(errors.IdleInTransactionSessionTimeout):
        still.execute("COMMIT")


def test_arrays_arrive_as_they_left(connections: Connections) -> None:
    connection = connections.get()
    given: list[str | None] = [*TEXTS, None]
    result = connection.call("SELECT to_jsonb($1::text[])::text", (quoted(given),))
    numbers = connection.call("SELECT to_jsonb($1::int[])::text", (plain([1, None, -3]),))
    empty = connection.call("SELECT cardinality($1::text[])", (quoted([]),))

    expected = connection.execute("SELECT to_jsonb(%s::text[])::text", (given,)).fetchone()
    assert expected is not None
    assert (result.get_value(0, 0) or b"").decode() == expected[0]
    assert numbers.get_value(0, 0) == b"[1, null, -3]"
    assert empty.get_value(0, 0) == b"0"


def test_an_error_has_its_class_and_leaves_the_connection_good(connections: Connections) -> None:
    connection = connections.get()
    with pytest.raises(errors.DivisionByZero):
        connection.call("SELECT 1 / $1::int", (b"0",))
    with pytest.raises(errors.UndefinedFunction):
        connection.call("SELECT no_such_function($1::int)", (b"0",))

    assert connection.call("SELECT $1::int", (b"7",)).get_value(0, 0) == b"7"
    assert connections.get() is connection


def test_a_lost_line_is_an_operational_error_and_replaced(connections: Connections) -> None:
    connection = connections.get()
    with psycopg.connect(database.url("engine"), autocommit=True) as other:
        other.execute("SELECT pg_terminate_backend(%s, 5000)", (connection.info.backend_pid,))
    with pytest.raises(psycopg.OperationalError):
        connection.call("SELECT $1::int", (b"7",))

    fresh = connections.get()
    assert fresh is not connection
    assert fresh.call("SELECT $1::int", (b"7",)).get_value(0, 0) == b"7"


def test_other_threads_run_while_a_call_waits(connections: Connections) -> None:
    ended = threading.Event()

    def call() -> None:
        connections.get().call("SELECT pg_sleep($1::float8)", (b"0.3",))
        ended.set()

    waiting = threading.Thread(target=call)
    waiting.start()
    turns = 0
    while not ended.is_set():
        turns += 1
        time.sleep(0.001)
    waiting.join(PATIENCE)
    assert turns > 1


def test_closing_all_ends_a_call_that_waits(connections: Connections) -> None:
    begun, seen, backends = threading.Event(), list[Exception](), list[int]()

    def call() -> None:
        connection = connections.get()
        backends.append(connection.info.backend_pid)
        begun.set()
        try:
            connection.call("SELECT pg_sleep($1::float8)", (b"9",))
        except psycopg.OperationalError as error:
            seen.append(error)

    waiting = threading.Thread(target=call)
    waiting.start()
    assert begun.wait(PATIENCE)
    time.sleep(0.1)
    connections.close_all()
    waiting.join(PATIENCE)

    assert not waiting.is_alive()
    assert len(seen) == 1
    # The server has not noticed: a backend that sleeps would outlive the test's database.
    with psycopg.connect(database.url("engine"), autocommit=True) as other:
        other.execute("SELECT pg_terminate_backend(%s, 5000)", (backends[0],))


def test_a_thread_left_behind_opens_no_more(connections: Connections) -> None:
    held = connections.get()
    connections.close_all()

    assert held.closed
    for opens in (connections.get, connections.open):
        with pytest.raises(psycopg.OperationalError, match="closed its connections"):
            opens()


def test_a_line_cut_in_the_middle_of_a_call_leaves_nothing_to_warn_of(
    connections: Connections,
) -> None:
    connection = connections.get()
    with connection.lock:
        connections.close_all()
    assert not connection.closed
    connection.__del__()  # would raise its ResourceWarning here
    connection.close()


def test_a_run_is_found_by_its_key_even_where_nothing_is_known_of_the_table(
    connections: Connections,
) -> None:
    tenant_id, run_id = uuid4(), uuid4()
    query = f"UPDATE run SET head = 2 WHERE tenant_id = '{tenant_id}' AND id = '{run_id}'"
    steps = connections.get().execute(f"EXPLAIN {query}").fetchall()
    assert any("using run_pkey" in step for (step,) in steps), steps


def test_an_answer_comes_after_what_was_sent(connections: Connections) -> None:
    connection = connections.get()
    large = "x" * (8 << 20)
    connection.send("SELECT length($1::text)", (large.encode(),))
    assert connection.answer().get_value(0, 0) == b"%d" % len(large)
    connection.send("SELECT 1 / $1::int", (b"0",))
    with pytest.raises(errors.DivisionByZero):
        connection.answer()
    assert connection.call("SELECT $1::int", (b"7",)).get_value(0, 0) == b"7"


def test_an_answer_that_somebody_took_is_a_lost_one(connections: Connections) -> None:
    connection = connections.get()
    connection.send("SELECT $1::int", (b"1",))
    assert connection.call("SELECT $1::int", (b"2",)).get_value(0, 0) == b"2"
    with pytest.raises(psycopg.OperationalError):
        connection.answer()


def test_a_line_that_is_cut_takes_the_answer_with_it(connections: Connections) -> None:
    connection = connections.get()
    connection.send("SELECT $1::int", (b"1",))
    connections.close_all()
    with pytest.raises(psycopg.OperationalError):
        connection.answer()
