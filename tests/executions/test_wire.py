"""A statement without a cursor says and refuses what one with a cursor would."""

from __future__ import annotations

from uuid import uuid4

import pytest
from django.db import DataError, OperationalError, connection, transaction

from apps.executions.actions.wire import row_of

pytestmark = pytest.mark.django_db(transaction=True)


def test_values_arrive_as_they_were_given() -> None:
    some = uuid4()
    names = ['a"b', "c\\d", "e,f", "{g}", "", "NULL", "\t"]
    row = row_of(
        "SELECT $1::uuid, $2::int + 1, $3::real, $4::text[] = ARRAY["
        """'a"b', 'c\\d', 'e,f', '{g}', '', 'NULL', E'\\t'], $5::text, $6::jsonb ->> 'x'""",
        [some, 41, 1.5, names, None, '{"x": "ü"}'],
    )
    assert row == (str(some), "42", "1.5", "t", None, "ü")


def test_no_row_is_none() -> None:
    assert row_of("SELECT 1 WHERE $1::boolean", ["false"]) is None


def test_what_the_database_refuses_is_raised_as_django_does() -> None:
    with pytest.raises(DataError) as refused:
        row_of("SELECT 1 / $1::int", [0])
    assert getattr(refused.value.__cause__, "sqlstate", None) == "22012"
    assert row_of("SELECT $1::int", [1]) == ("1",)


def test_a_lost_connection_is_an_operational_error() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        pid = cursor.fetchone()[0]
    with pytest.raises(OperationalError):
        row_of("SELECT pg_terminate_backend($1::int)", [pid])
    connection.close()


def test_inside_a_transaction_it_refuses() -> None:
    with transaction.atomic(), pytest.raises(RuntimeError):
        row_of("SELECT $1::int", [1])
