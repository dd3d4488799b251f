"""Hashes, differences, patches, run parameters and the committed schema."""

from __future__ import annotations

import copy
import hashlib
import json
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from apps.workflows.graph import canonical, difference, parameters, patch, schema
from apps.workflows.graph.difference import Bump, ChangeKind, Changes
from apps.workflows.graph.document import DocumentInvalid, Parameter, parse, to_json
from tests.factories.workflow_nodes import training

PARAMETER = {"name": "target", "schema": {"type": "string"}, "default": "label"}


def after(*operations: dict[str, Any]) -> Changes:
    """What a patch of the training document changes."""
    return difference.compare(parse(training()), parse(patch.apply(training(), list(operations))))


def put(path: str, value: Any) -> dict[str, Any]:
    return {"op": "add", "path": path, "value": value}


def remove(path: str) -> dict[str, Any]:
    return {"op": "remove", "path": path}


def test_the_hash_is_of_canonical_json() -> None:
    # Keys sorted, no spaces, defaults absent: written out by hand.
    text = '{"connections":[],"name":"x","nodes":[],"schemaVersion":1,"type":"ml"}'
    digest = f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"
    document = parse({"type": "ml", "name": "x", "description": "", "configuration": {}})
    assert canonical.content_hash(document) == canonical.full_hash(document) == digest


def test_moving_noting_and_tagging_change_no_behavior() -> None:
    moved = after(
        put("/nodes/0/position", {"x": 5, "y": 5}),
        put("/nodes/1/notes", "why"),
        put("/metadata/tags", ["other"]),
    )
    assert not moved.behavior
    assert not moved.is_empty
    assert [(one.node_id, one.kind) for one in moved.modified] == [
        ("rows", ChangeKind.MOVED),
        ("fit", ChangeKind.MODIFIED),
    ]
    assert [one.path for one in moved.settings] == ["metadata.tags"]


def test_nothing_changed_is_empty() -> None:
    same = after()
    assert same.is_empty
    assert (same.behavior, same.bump) == (False, Bump.PATCH)


def test_changed_fields_are_named_with_both_values() -> None:
    changes = after(put("/nodes/1/configuration/trees", 11), remove("/nodes/2/configuration/token"))
    assert changes.behavior
    assert [[(f.path, f.before, f.after) for f in one.fields] for one in changes.modified] == [
        [("configuration.trees", 10, 11)],
        [("configuration.token", "{{ secrets.TOKEN }}", None)],
    ]
    assert changes.bump is Bump.MINOR


def test_true_is_not_one() -> None:
    changes = difference.compare(
        parse({"name": "x", "type": "ml", "configuration": {"variables": {"a": 1, "b": [1]}}}),
        parse({"name": "x", "type": "ml", "configuration": {"variables": {"a": True, "b": [2]}}}),
    )
    assert [field.path for field in changes.settings] == [
        "configuration.variables.a",
        "configuration.variables.b",
    ]
    assert changes.bump is Bump.PATCH


def test_nodes_come_and_go_with_their_connections() -> None:
    changes = after(
        remove("/nodes/2"),
        remove("/connections/1"),
        put("/nodes/-", {"id": "new", "type": "test.book"}),
        put("/connections/-", {"source": "fit", "target": "new", "id": "c9"}),
    )
    assert [one.node_id for one in changes.added] == ["new"]
    assert [one.node_id for one in changes.removed] == ["tell"]
    assert [one.target for one in changes.connections_added] == ["new"]
    assert [one.target for one in changes.connections_removed] == ["tell"]


def test_another_id_of_the_same_arrow_is_no_new_arrow() -> None:
    changes = after({"op": "replace", "path": "/connections/0/id", "value": "other"})
    assert changes.connections_added == changes.connections_removed == ()


@pytest.mark.parametrize(
    ("operations", "bump", "breaking"),
    [
        ([remove("/configuration/parameters/0")], Bump.MAJOR, [True]),
        ([put("/configuration/parameters/-", {"name": "b"})], Bump.MINOR, [False]),
        ([put("/configuration/parameters/-", {"name": "b", "required": True})], Bump.MAJOR, [True]),
        (
            [put("/configuration/parameters/-", {"name": "b", "required": True, "default": 1})],
            Bump.MINOR,
            [False],
        ),
        ([put("/configuration/parameters/0/default", "other")], Bump.MINOR, [False]),
        (
            [
                remove("/configuration/parameters/0"),
                put("/configuration/parameters/0", {"name": "target", "required": True}),
            ],
            Bump.MAJOR,
            [True],
        ),
        ([put("/description", "new")], Bump.PATCH, []),
    ],
)
def test_what_breaks_callers_asks_for_a_major(
    operations: list[dict[str, Any]], bump: Bump, breaking: list[bool]
) -> None:
    changes = after(*operations)
    assert changes.bump is bump
    assert [one.breaking for one in changes.parameters] == breaking


@pytest.mark.parametrize(
    ("ports", "bump"),
    [
        ([], Bump.MAJOR),
        ([{"name": "more"}], Bump.PATCH),
        ([{"name": "more"}, {"name": "b"}], Bump.MINOR),
        ([{"name": "more", "required": True}], Bump.MAJOR),
        ([{"name": "more"}, {"name": "b", "required": True}], Bump.MAJOR),
    ],
)
def test_a_port_that_disappears_or_becomes_required_breaks(
    ports: list[dict[str, Any]], bump: Bump
) -> None:
    def merging(inputs: list[dict[str, Any]]) -> Any:
        node = {"id": "m", "type": "test.merge", "inputs": inputs}
        return parse({"name": "x", "type": "ml", "nodes": [node]})

    assert difference.compare(merging([{"name": "more"}]), merging(ports)).bump is bump


def test_the_committed_schema_is_the_codes() -> None:
    assert schema.COMMITTED.read_text() == schema.text(), (
        "Write apps/workflows/graph/schema/v1.json again from graph/schema.py."
    )


def test_the_schema_accepts_what_parse_accepts() -> None:
    Draft202012Validator.check_schema(schema.document_schema())
    validator = Draft202012Validator(schema.document_schema())
    short = {"name": "x", "type": "ml", "nodes": [{"type": "a.b", "onError": "route"}]}
    echo = {**training(), "id": "x", "status": "DRAFT", "metadata": {"author": "a"}}
    scheduled = {**training(), "configuration": {"schedule": {"cron": "* * * * *"}}}
    ruled = {**short, "nodes": [{"type": "a.b", "onError": [{"do": "fail"}]}]}
    for raw in (training(), to_json(parse(training())), short, echo, scheduled, ruled):
        assert list(validator.iter_errors(raw)) == []
        parse(raw)
    for raw in ({**short, "bogus": 1}, {"type": "ml"}, {**short, "type": "x"}):
        assert list(validator.iter_errors(raw))


DOCUMENT: dict[str, Any] = {"a": [1, 2, {"b": None}], "c~/d": {"e": True}, "": 0}


@pytest.mark.parametrize(
    ("operation", "result"),
    [
        ({"op": "add", "path": "/a/1", "value": 9}, {"a": [1, 9, 2, {"b": None}]}),
        ({"op": "add", "path": "/a/-", "value": 9}, {"a": [1, 2, {"b": None}, 9]}),
        ({"op": "add", "path": "/a/3", "value": 9}, {"a": [1, 2, {"b": None}, 9]}),
        ({"op": "add", "path": "/c~0~1d/e", "value": 1}, {"c~/d": {"e": 1}}),
        ({"op": "remove", "path": "/a/0"}, {"a": [2, {"b": None}]}),
        ({"op": "replace", "path": "/", "value": 1}, {"": 1}),
        ({"op": "move", "from": "/a/0", "path": "/a/-"}, {"a": [2, {"b": None}, 1]}),
        ({"op": "move", "from": "/a", "path": "/a"}, {}),
        ({"op": "copy", "from": "/a/2", "path": "/new"}, {"new": {"b": None}}),
        ({"op": "test", "path": "/a", "value": [1.0, 2, {"b": None}]}, {}),
    ],
)
def test_patches_do_what_rfc_6902_says(operation: dict[str, Any], result: dict[str, Any]) -> None:
    before = copy.deepcopy(DOCUMENT)
    assert patch.apply(DOCUMENT, [operation]) == {**DOCUMENT, **result}
    assert before == DOCUMENT


def test_the_whole_document_can_be_put_in_place() -> None:
    assert patch.apply(DOCUMENT, [{"op": "add", "path": "", "value": 1}]) == 1
    assert patch.apply(DOCUMENT, [{"op": "replace", "path": "", "value": [2]}]) == [2]


@pytest.mark.parametrize(
    "operation",
    [
        "x",
        {"op": "explode", "path": "/a"},
        {"op": "add", "path": "a", "value": 1},
        {"op": "add", "path": 3, "value": 1},
        {"op": "add", "path": "/a/4", "value": 1},
        {"op": "add", "path": "/a/x", "value": 1},
        {"op": "add", "path": "/a/0/x", "value": 1},
        {"op": "add", "path": "/new"},
        {"op": "remove", "path": ""},
        {"op": "remove", "path": "/gone"},
        {"op": "remove", "path": "/a/00"},
        {"op": "remove", "path": "/a/-"},
        {"op": "replace", "path": "/gone", "value": 1},
        {"op": "move", "path": "/a/2/b", "from": "/a"},
        {"op": "copy", "path": "/b", "from": "/gone"},
        {"op": "copy", "path": "/b"},
        {"op": "test", "path": "/c~0~1d/e", "value": 1},
        {"op": "test", "path": "/a", "value": [1]},
        {"op": "test", "path": "/a/2", "value": {"x": None}},
    ],
)
def test_a_patch_that_does_not_fit_changes_nothing(operation: Any) -> None:
    before = copy.deepcopy(DOCUMENT)
    first = {"op": "add", "path": "/new", "value": 1}
    with pytest.raises(DocumentInvalid) as caught:
        patch.apply(DOCUMENT, [first, operation])
    (issue,) = caught.value.issues
    assert (issue.code, issue.path) == ("PATCH_INVALID", ("patch", "1"))
    assert before == DOCUMENT


@pytest.mark.parametrize("operations", [{}, "x", None, [{}] * 1_001])
def test_a_patch_is_a_list_of_bounded_length(operations: Any) -> None:
    with pytest.raises(DocumentInvalid, match="PATCH_INVALID"):
        patch.apply(DOCUMENT, operations)


def declared(**fields: Any) -> Parameter:
    return Parameter(name=fields.pop("name", "a"), **fields)


def test_run_parameters_get_their_defaults() -> None:
    both = (declared(default=1), declared(name="b"))
    assert parameters.resolve(both, {"b": 2}) == ({"a": 1, "b": 2}, ())
    assert parameters.resolve(both, {"a": None}) == ({"a": 1, "b": None}, ())


@pytest.mark.parametrize(
    ("parameter", "given", "code"),
    [
        (declared(), {"x": 1}, "PARAMETER_UNKNOWN"),
        (declared(required=True), {}, "PARAMETER_REQUIRED"),
        (declared(schema={"type": "integer"}), {"a": "1"}, "PARAMETER_INVALID"),
        (declared(schema={"items": {"type": "integer"}}), {"a": ["1"]}, "PARAMETER_INVALID"),
    ],
)
def test_run_parameters_are_held_against_their_declaration(
    parameter: Parameter, given: dict[str, Any], code: str
) -> None:
    _, issues = parameters.resolve((parameter,), given)
    assert [issue.code for issue in issues] == [code]


def test_without_parameters_none_is_accepted() -> None:
    _, (issue,) = parameters.resolve((), {"x": 1})
    assert "it takes none" in issue.message


def test_the_schema_is_json() -> None:
    assert json.loads(schema.text())["$id"] == "/schemas/workflow/v1.json"
