"""How documents are read: short form, read-only fields, limits, and every refusal by its code."""

from __future__ import annotations

import json
from typing import Any

import pytest

from apps.workflows.graph import migrate
from apps.workflows.graph.document import (
    DocumentInvalid,
    ErrorAction,
    parse,
    parse_with_claims,
    to_json,
)
from apps.workflows.graph.issues import Issue
from tests.factories.workflow_nodes import training

MINIMAL: dict[str, Any] = {"name": "Minimal", "type": "ml"}


def issues(raw: object) -> tuple[Issue, ...]:
    with pytest.raises(DocumentInvalid) as caught:
        parse(raw)
    return caught.value.issues


def the_issue(raw: object) -> Issue:
    (only,) = issues(raw)
    assert only.message.endswith((".", "?"))
    return only


def with_node(**fields: Any) -> dict[str, Any]:
    return {**MINIMAL, "nodes": [{"id": "a", "type": "test.source", **fields}]}


def test_a_document_reads_back_equal() -> None:
    document = parse(training())
    assert parse(to_json(document)) == document
    assert parse(json.dumps(to_json(document))) == document
    assert parse(json.dumps(to_json(document)).encode()) == document


def test_defaults_are_not_written() -> None:
    assert to_json(parse(MINIMAL)) == {
        "schemaVersion": 1,
        "name": "Minimal",
        "type": "ml",
        "nodes": [],
        "connections": [],
    }


def test_the_short_form_gets_ids_and_a_chain() -> None:
    document = parse(
        {
            **MINIMAL,
            "nodes": [
                {"type": "test.source"},
                {"type": "control.if"},
                {"type": "test.source"},
                {"type": "2nd"},
                {"type": ""},
            ],
        }
        | {"nodes": [{"type": "test.source"}, {"type": "control.if"}, {"type": "test.source"}]}
    )
    assert [node.id for node in document.nodes] == ["source", "if_", "source_2"]
    assert [(one.id, one.source, one.target) for one in document.connections] == [
        ("c1", "source", "if_"),
        ("c2", "if_", "source_2"),
    ]
    assert document.nodes[2].position.x > document.nodes[1].position.x


def test_ids_are_made_of_whatever_the_type_is() -> None:
    document = parse({**MINIMAL, "nodes": [{"type": "2nd"}, {"type": "x."}, {"type": "a.b-c"}]})
    assert [node.id for node in document.nodes] == ["node_2nd", "node", "b_c"]


def test_a_document_with_some_ids_is_not_chained() -> None:
    document = parse(
        {**MINIMAL, "nodes": [{"id": "source", "type": "test.source"}, {"type": "test.source"}]}
    )
    assert [node.id for node in document.nodes] == ["source", "source_2"]
    assert document.connections == ()


def test_connections_given_stay_and_get_ids() -> None:
    document = parse(
        {
            **MINIMAL,
            "nodes": [{"id": "a", "type": "t.a"}, {"id": "b", "type": "t.b"}],
            "connections": [
                {"source": "a", "target": "b"},
                {"id": "c1", "source": "a", "target": "b"},
            ],
        }
    )
    assert [one.id for one in document.connections] == ["c1_2", "c1"]


def test_a_single_schedule_is_a_list_of_one() -> None:
    document = parse({**MINIMAL, "configuration": {"schedule": {"cron": "0 6 * * *"}}})
    assert [one.cron for one in document.configuration.schedules] == ["0 6 * * *"]
    assert parse({**MINIMAL, "configuration": {"schedule": None}}) == parse(MINIMAL)


def test_one_schedule_and_many_contradict_each_other() -> None:
    one = {"cron": "0 6 * * *"}
    issue = the_issue({**MINIMAL, "configuration": {"schedule": one, "schedules": [one]}})
    assert (issue.code, issue.path) == ("SCHEDULE_TWICE", ("configuration", "schedule"))


def test_null_is_a_field_left_out() -> None:
    assert parse(
        {
            **MINIMAL,
            "nodes": None,
            "configuration": None,
            "connections": None,
            "description": None,
        }
    ) == parse(MINIMAL)
    assert parse(with_node(retry=None, position=None, resources=None, notes=None)) == parse(
        with_node()
    )


def test_read_only_fields_come_along_and_set_nothing() -> None:
    document, claims = parse_with_claims(
        {
            **MINIMAL,
            "id": "x",
            "version": "1.0.0",
            "status": "published",
            "metadata": {
                "created": "2026-01-01",
                "modified": "2026-01-01",
                "author": {"id": "y"},
                "tags": ["t"],
            },
        }
    )
    assert (claims.id, claims.version, claims.status) == ("x", "1.0.0", "published")
    assert claims.author == {"id": "y"}
    assert to_json(document)["metadata"] == {"tags": ["t"]}
    assert "id" not in to_json(document)


@pytest.mark.parametrize(
    ("field", "value", "path"),
    [
        ("id", 1, ("id",)),
        ("status", "GONE", ("status",)),
        ("metadata", {"author": 3}, ("metadata", "author")),
        ("metadata", {"created": {}}, ("metadata", "created")),
    ],
)
def test_read_only_fields_are_checked(field: str, value: object, path: tuple[str, ...]) -> None:
    issue = the_issue({**MINIMAL, field: value})
    assert (issue.code, issue.path) == ("WRONG_TYPE", path)


def test_the_api_spells_types_in_capitals() -> None:
    assert parse({"name": "x", "type": "DATA_PIPELINE"}).type == "dataPipeline"


@pytest.mark.parametrize("word", ["continue", "route"])
def test_on_error_in_one_word_is_a_rule_for_every_failure(word: str) -> None:
    document = parse(with_node(onError=word))
    assert [rule.do for rule in document.nodes[0].on_error] == [ErrorAction(word)]
    assert to_json(document)["nodes"][0]["onError"] == word


def test_to_fail_is_what_happens_anyway() -> None:
    assert parse(with_node(onError="fail")) == parse(with_node())


def test_on_error_rules_keep_their_order() -> None:
    rules = [
        {"match": {"codes": ["HTTP_5*"]}, "do": "fallback", "with": {"node": "b"}},
        {"match": {}, "do": "compensate", "with": {"then": "c"}},
    ]
    document = parse(with_node(onError=rules))
    assert to_json(document)["nodes"][0]["onError"] == rules
    assert parse(to_json(document)) == document


def test_a_budget_may_be_written_as_the_api_writes_it() -> None:
    document = parse({**MINIMAL, "configuration": {"budget": {"amountMinor": "1500"}}})
    assert document.configuration.budget.amount_minor == 1500


@pytest.mark.parametrize(
    ("raw", "code", "path"),
    [
        (3, "WRONG_TYPE", ()),
        ([], "WRONG_TYPE", ()),
        ("{", "NOT_JSON", ()),
        (b"\xff", "NOT_JSON", ()),
        ('{"name": NaN}', "NUMBER_NOT_EXACT", ("name",)),
        ({**MINIMAL, "bogus": 1}, "UNKNOWN_FIELD", ("bogus",)),
        ({"type": "ml"}, "FIELD_REQUIRED", ("name",)),
        ({**MINIMAL, "type": "other"}, "VALUE_NOT_ALLOWED", ("type",)),
        ({**MINIMAL, "type": 3}, "VALUE_NOT_ALLOWED", ("type",)),
        ({**MINIMAL, "name": ""}, "VALUE_NOT_ALLOWED", ("name",)),
        ({**MINIMAL, "nodes": {}}, "WRONG_TYPE", ("nodes",)),
        ({**MINIMAL, "nodes": ["x"]}, "WRONG_TYPE", ("nodes", "0")),
        ({**MINIMAL, "connections": ["x"]}, "WRONG_TYPE", ("connections", "0")),
        ({**MINIMAL, "configuration": []}, "WRONG_TYPE", ("configuration",)),
        ({**MINIMAL, "metadata": 3}, "WRONG_TYPE", ("metadata",)),
        (with_node(id=[]), "WRONG_TYPE", ("nodes", "0", "id")),
        (with_node(id="a b"), "VALUE_NOT_ALLOWED", ("nodes", "0", "id")),
        (with_node(onError=3), "WRONG_TYPE", ("nodes", "0", "onError")),
        (with_node(onError="explode"), "VALUE_NOT_ALLOWED", ("nodes", "0", "onError", "0", "do")),
        (with_node(timeoutSeconds="5"), "WRONG_TYPE", ("nodes", "0", "timeoutSeconds")),
        (with_node(confguration={}), "UNKNOWN_FIELD", ("nodes", "0", "confguration")),
        (
            with_node(retry={"maxAttempts": 0}),
            "VALUE_NOT_ALLOWED",
            ("nodes", "0", "retry", "maxAttempts"),
        ),
        ({**MINIMAL, "description": "a\0b"}, "TEXT_NOT_ALLOWED", ("description",)),
        ({**MINIMAL, "description": "\ud800"}, "TEXT_NOT_ALLOWED", ("description",)),
        ({**MINIMAL, "a\0": 1}, "TEXT_NOT_ALLOWED", ()),
        ({3: 1}, "NOT_JSON", ()),
        (with_node(configuration={"x": {1, 2}}), "NOT_JSON", ("nodes", "0", "configuration", "x")),
        (with_node(configuration={"x": float("inf")}), "NUMBER_NOT_EXACT", None),
        (with_node(configuration={"x": 2**53}), "NUMBER_NOT_EXACT", None),
        ({**MINIMAL, "schemaVersion": 2}, "SCHEMA_VERSION_UNKNOWN", ("schemaVersion",)),
        ({**MINIMAL, "schemaVersion": "1"}, "SCHEMA_VERSION_UNKNOWN", ("schemaVersion",)),
        ({**MINIMAL, "schemaVersion": True}, "SCHEMA_VERSION_UNKNOWN", ("schemaVersion",)),
        ({**MINIMAL, "schemaVersion": []}, "SCHEMA_VERSION_UNKNOWN", ("schemaVersion",)),
        ({**MINIMAL, "nodes": [{}] * 2001}, "TOO_MANY_NODES", ("nodes",)),
        ({**MINIMAL, "description": "x" * 2**20}, "DOCUMENT_TOO_LARGE", ()),
        ("x" * (2**20 + 1), "DOCUMENT_TOO_LARGE", ()),
    ],
)
def test_what_cannot_be_read_is_refused_by_name(
    raw: object, code: str, path: tuple[str, ...] | None
) -> None:
    issue = the_issue(raw)
    assert issue.code == code
    if path is not None:
        assert issue.path == path


def test_values_may_not_nest_without_end() -> None:
    nested: Any = {}
    for _ in range(100):
        nested = {"x": nested}
    assert the_issue(with_node(configuration=nested)).code == "TOO_DEEP"
    assert the_issue("[" * 100_000 + "]" * 100_000).code in {"TOO_DEEP", "NOT_JSON"}


def test_numbers_are_their_value_however_they_are_written() -> None:
    written = '{"name": "x", "type": "ml", "configuration": {"variables": {"a": [1e2, 1.0, 0.5]}}}'
    variables = parse(written).configuration.variables
    assert [type(one) for one in variables["a"]] == [int, int, float]
    assert parse({**MINIMAL, "configuration": {"variables": {"a": -0.0}}}) == parse(
        {**MINIMAL, "configuration": {"variables": {"a": 0}}}
    )
    huge = parse({**MINIMAL, "configuration": {"variables": {"a": 1e300}}})
    assert isinstance(huge.configuration.variables["a"], float)


def test_text_beyond_ascii_is_welcome() -> None:
    assert parse({**MINIMAL, "name": "Größe 🙂"}).name == "Größe 🙂"


def test_all_problems_are_named_at_once_with_node_and_connection() -> None:
    found = issues(
        {
            **MINIMAL,
            "nodes": [{"id": "a", "type": 3}, {"id": "b", "type": "t.b", "x": 1}],
            "connections": [{"id": "c9", "source": "a"}],
        }
    )
    assert [(one.code, one.node_id, one.connection_id) for one in found] == [
        ("WRONG_TYPE", "a", None),
        ("UNKNOWN_FIELD", "b", None),
        ("FIELD_REQUIRED", None, "c9"),
    ]


def test_an_unknown_field_says_what_it_may_have_meant_and_can_be_removed() -> None:
    issue = the_issue(with_node(confguration={}))
    assert "did you mean `configuration`?" in issue.message
    assert issue.fix == ({"op": "remove", "path": "/nodes/0/confguration"},)
    assert "remove it" in the_issue({**MINIMAL, "zzzzzz": 1}).message
    assert "remove it" in the_issue(with_node(retry={"zzz": 1})).message
    unlike = {**MINIMAL, "connections": [{"source": "a", "target": "b", "conditon": "x"}]}
    assert "did you mean `condition`?" in the_issue(unlike).message


def test_the_refusal_reads_as_text() -> None:
    with pytest.raises(DocumentInvalid, match=r"FIELD_REQUIRED: Add the field `name`\."):
        parse({"type": "ml"})


def test_older_documents_are_migrated_on_read_step_by_step() -> None:
    steps: dict[int, migrate.Step] = {
        1: lambda raw: {**raw, "name": raw["title"]},
        2: lambda raw: {**raw, "name": raw["name"].upper()},
    }
    migrated = migrate.to_current({"schemaVersion": 1, "title": "old"}, steps=steps, current=3)
    assert migrated["name"] == "OLD"
    assert migrated["schemaVersion"] == 3
    with pytest.raises(DocumentInvalid):
        migrate.to_current({"schemaVersion": 0}, steps=steps, current=3)
