"""Mutations, errors and scalars of the plumbing."""

from __future__ import annotations

import asyncio
from uuid import UUID

import pytest
from django.db import connection, transaction

from apps.kit.errors import NotFound
from apps.kit.graphql.extend import extend
from apps.kit.graphql.nodes import global_id, key_of, split_id
from apps.kit.ids import uuid7
from tests.graphql.small_schema import TABLE, Context, Leaf, codes, run, schema


@pytest.fixture
def table(db: None) -> None:
    """A table for the mutations to write to."""
    with connection.cursor() as cursor:
        cursor.execute(TABLE)


def words() -> list[str]:
    """What is written."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT word FROM scribble ORDER BY word")
        return [row[0] for row in cursor.fetchall()]


WRITE = """mutation($word: String!, $refuse: String) { write(word: $word, refuse: $refuse) {
  word errors { __typename message code path
    ... on StaleRevisionError { expectedRevision currentRevision }
    ... on QuotaExceededError { metric limit used } } } }"""


def test_a_mutation_writes(table: None) -> None:
    assert run(WRITE, word="oak").data == {"write": {"word": "oak", "errors": []}}
    assert words() == ["oak"]


def test_a_refusal_becomes_data_and_leaves_nothing(table: None) -> None:
    result = run(WRITE, word="oak", refuse="stale")

    assert result.errors is None
    (error,) = result.data["write"]["errors"]
    assert error["__typename"] == "StaleRevisionError"
    assert (error["expectedRevision"], error["currentRevision"]) == (1, 4)
    assert error["path"] == ["expectedRevision"]
    assert words() == []


def test_a_quota_carries_its_figures_as_strings(table: None) -> None:
    (error,) = run(WRITE, word="oak", refuse="quota").data["write"]["errors"]

    assert (error["metric"], error["limit"], error["used"]) == ("workflows", "3", "3")


def test_a_plain_refusal_is_generic(table: None) -> None:
    (error,) = run(WRITE, word="oak", refuse="plain").data["write"]["errors"]

    assert (error["__typename"], error["code"]) == ("GenericUserError", "CONFLICT")


def test_a_broken_constraint_is_told_in_our_words(table: None) -> None:
    run(WRITE, word="oak")

    (error,) = run(WRITE, word="oak").data["write"]["errors"]

    assert error["code"] == "ALREADY_EXISTS"
    assert "scribble" not in error["message"]
    assert words() == ["oak"]


def test_a_defect_writes_nothing_and_says_nothing(table: None) -> None:
    result = run(WRITE, word="oak", refuse="bug")

    assert codes(result) == ["INTERNAL"]
    assert "stack trace" not in str(result.errors)
    assert words() == []


def test_a_null_byte_is_refused_in_our_words(table: None) -> None:
    result = run(WRITE, word="a\x00b")

    assert "psycopg" not in str(result)
    assert words() == []


def test_a_statement_that_fails_in_the_payload_fails_the_operation(table: None) -> None:
    with transaction.atomic():
        result = run('mutation { write(word: "oak") { word broken } }')
        transaction.set_rollback(True)

    assert result.data is None
    assert codes(result) == ["INTERNAL"]


def test_the_header_gives_the_idempotency_key(db: None) -> None:
    assert run("mutation { remember { word } }", header="k1").data["remember"]["word"] == "k1"


def test_the_argument_wins_over_the_header(db: None) -> None:
    result = run('mutation { remember(idempotencyKey: "k2") { word } }', header="k1")

    assert result.data["remember"]["word"] == "k2"


def test_a_missing_permission_is_loud() -> None:
    result = run("{ guarded }")

    assert codes(result) == ["FORBIDDEN"]
    assert result.errors[0].extensions["requiredScope"] == "trees:fell"


def test_a_held_permission_opens_the_field() -> None:
    assert run("{ guarded }", held=frozenset({"trees:fell"})).data == {"guarded": 7}


def test_a_mutation_without_permission_is_loud(table: None) -> None:
    assert codes(run("mutation { fell { word } }")) == ["FORBIDDEN"]


def test_a_defect_in_a_query_is_masked() -> None:
    result = run("{ boom }")

    assert codes(result) == ["INTERNAL"]
    assert "hunter2" not in str(result.errors)
    assert result.errors[0].extensions["requestId"] == "req-1"


def test_a_refusal_in_a_query_is_a_top_level_error() -> None:
    assert codes(run("{ missing }")) == ["NOT_FOUND"]


def test_no_field_is_suggested() -> None:
    assert "leaf" not in str(run("{ leav }").errors[0].message)


@pytest.mark.parametrize(
    ("argument", "seen"),
    [
        ('size: "9007199254740993"', "9007199254740993 None None"),
        ('version: "2.1.0-beta.1"', "None '2.1.0-beta.1' None"),
        ('url: "https://example.com/x"', "None None 'https://example.com/x'"),
    ],
)
def test_scalars_arrive(argument: str, seen: str) -> None:
    assert run(f"{{ echo({argument}) }}").data == {"echo": seen}


@pytest.mark.parametrize(
    "argument", ['size: "9223372036854775808"', 'version: "2.1"', 'url: "javascript:alert(1)"']
)
def test_scalars_refuse(argument: str) -> None:
    assert codes(run(f"{{ echo({argument}) }}")) == ["INVALID"]


def test_a_variable_that_a_scalar_refuses_is_invalid() -> None:
    assert codes(run("query($v: SemVer) { echo(version: $v) }", v="two")) == ["INVALID"]


def test_global_ids_come_back() -> None:
    key = uuid7()

    assert split_id(global_id("Leaf", key)) == ("Leaf", str(key))
    assert key_of(str(key), "Leaf") == key


STRANGER = global_id("Tree", UUID(int=7 << 76))


@pytest.mark.parametrize("value", ["", "x", "TGVhZjo=", "é", STRANGER, "A" * 999])
def test_every_other_id_is_not_found(value: str) -> None:
    with pytest.raises(NotFound) as refusal:
        key_of(value, "Leaf")
    assert value not in refusal.value.message or not value


def test_a_field_can_be_added_from_above_once() -> None:
    with pytest.raises(ValueError, match="already has a field"):
        extend(Leaf, "name", lambda root: root.name)


def events(query: str) -> list[dict[str, object]]:
    """All events of a subscription."""

    async def collect() -> list[dict[str, object]]:
        context = Context(request_id="req-1", payer="test")
        return [
            {"data": getattr(result, "data", None), "codes": codes(result)}
            async for result in await schema.stream(query, context_value=context)
        ]

    return asyncio.run(collect())


def test_a_subscription_streams() -> None:
    assert events("subscription { grown { name } }") == [
        {"data": {"grown": {"name": "first"}}, "codes": []},
        {"data": {"grown": {"name": "second"}}, "codes": []},
    ]


def test_an_event_carries_no_page() -> None:
    (event,) = events("subscription { grown { children { nodes { name } } } }")

    assert event == {"data": None, "codes": ["INVALID"]}


def test_only_subscriptions_travel_over_the_socket() -> None:
    (event,) = events("{ leaf { name } }")

    assert event["data"] is None
