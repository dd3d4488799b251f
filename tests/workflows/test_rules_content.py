"""Rules about configuration, expressions, conditions and the whole, by their codes."""

from __future__ import annotations

from typing import Any

import pytest

from apps.nodes.control.loop import loop
from apps.workflows.graph.catalogue import Catalogue
from apps.workflows.graph.declaration import node_type_of
from apps.workflows.graph.rules.settings import is_cron
from apps.workflows.graph.validate import read_and_validate
from tests.workflows.documents import (
    CATALOGUE,
    changed,
    codes,
    conditioned,
    configured,
    report,
    small,
    the_issue,
    told,
)


@pytest.mark.parametrize(
    ("configuration", "code", "path"),
    [
        ({"wrong": 1}, "CONFIGURATION_UNKNOWN", ("wrong",)),
        ({"trees": "10"}, "CONFIGURATION_WRONG_TYPE", ("trees",)),
        ({"trees": 0}, "CONFIGURATION_VALUE", ("trees",)),
        ({"trees": 1.5}, "CONFIGURATION_WRONG_TYPE", ("trees",)),
        ({"algorithm": "magic"}, "CONFIGURATION_VALUE", ("algorithm",)),
        ({"features": [1]}, "CONFIGURATION_WRONG_TYPE", ("features", "0")),
    ],
)
def test_configuration_matches_its_node_type(
    configuration: dict[str, Any], code: str, path: tuple[str, ...]
) -> None:
    issue = the_issue(configured(**configuration), code)
    assert issue.path == ("nodes", "1", "configuration", *path)


def test_a_value_of_none_of_its_types_is_one_issue_with_all_of_them() -> None:
    issue = the_issue(configured(prior=[]), "CONFIGURATION_WRONG_TYPE")
    assert issue.path[-1] == "prior"
    assert "valid integer, or input should be a valid string" in issue.message


def test_a_missing_parameter_is_named() -> None:
    raw = changed("nodes", 1, "configuration", value={})
    assert the_issue(raw, "CONFIGURATION_REQUIRED").path[-1] == "target"


@pytest.mark.parametrize(
    "configuration",
    [
        {"trees": "{{ parameters.target }}"},
        {"algorithm": "{{ parameters.target }}"},
        {"features": "{{ parameters.target }}"},
        {"features": ["{{ parameters.target }}", "b"]},
    ],
)
def test_what_an_expression_will_give_is_judged_when_it_is_known(
    configuration: dict[str, Any],
) -> None:
    assert codes(configured(**configuration)) == set()


def test_an_expression_may_choose_the_member_of_a_union() -> None:
    def formatted(value: Any) -> dict[str, Any]:
        return changed("nodes", 2, "configuration", "format", value=value)

    assert codes(formatted({"kind": "{{ parameters.target }}"})) == set()
    assert codes(formatted({"kind": "xml"})) == {"CONFIGURATION_VALUE"}
    assert codes(formatted({"kind": "csv", "separator": 1})) == {"CONFIGURATION_WRONG_TYPE"}
    assert codes(formatted({})) == {"CONFIGURATION_VALUE"}


def test_code_is_no_place_for_expressions() -> None:
    code = changed("nodes", 2, "configuration", "code", value="print('{{ nonsense')")
    assert codes(code) == set()
    assert codes(changed("nodes", 2, "configuration", "code", value=["{{ x }}"])) == {
        "CONFIGURATION_WRONG_TYPE"
    }


def test_a_secret_stands_only_where_its_node_may_open_it() -> None:
    issue = the_issue(
        changed("nodes", 2, "configuration", "url", value="{{ secrets.T }}"), "SECRET_NOT_ALLOWED"
    )
    assert "`token`" in issue.message
    issue = the_issue(configured(prior="{{ secrets.T }}"), "SECRET_NOT_ALLOWED")
    assert "takes none" in issue.message
    assert codes(told("Bearer {{ secrets.T }}")) == {"SECRET_NOT_ALONE"}


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("{{ nodes.fti.metrics }}", "EXPRESSION_NODE_UNKNOWN"),
        ("{{ nodes.zzzzzz.metrics }}", "EXPRESSION_NODE_UNKNOWN"),
        ("{{ nodes.tell.receipt }}", "EXPRESSION_NODE_NOT_BEFORE"),
        ("{{ nodes.fit.wrong }}", "EXPRESSION_PORT_UNKNOWN"),
        ("{{ parameters.other }}", "EXPRESSION_PARAMETER_UNKNOWN"),
        ("{{ variables.region }}", "EXPRESSION_VARIABLE_UNDECLARED"),
        ("{{ parametres.target }}", "EXPRESSION_NAME_UNKNOWN"),
        ("{{ zzzzzz }}", "EXPRESSION_NAME_UNKNOWN"),
        ("{{ item.name }}", "EXPRESSION_ITEM_OUTSIDE"),
        ("{{ index }}", "EXPRESSION_ITEM_OUTSIDE"),
        ("{{ metrics.f1 }}", "EXPRESSION_NAME_UNKNOWN"),
        ("{{ a b }}", "EXPRESSION_SYNTAX"),
        ("{{ a", "EXPRESSION_NOT_CLOSED"),
    ],
)
def test_every_name_in_an_expression_must_have_a_value(text: str, code: str) -> None:
    issue = the_issue(told(text), code)
    assert (issue.node_id, issue.path) == ("tell", ("nodes", "2", "configuration", "text"))


@pytest.mark.parametrize(
    "text",
    [
        "{{ nodes }} {{ nodes.rows.table }} {{ nodes.fit }} {{ nodes.fit.error.code }}",
        "{{ parameters }} {{ parameters.target }} {{ run.id }} {{ environment }}",
        "{{ [r.a for r in nodes.rows.table] }} {{ len(parameters.target) }}",
    ],
)
def test_names_that_have_values_are_welcome(text: str) -> None:
    assert codes(told(text)) == set()


def test_variables_of_the_document_are_known_item_is_inside_containers() -> None:
    raw = told("{{ variables.region }}")
    raw["configuration"]["variables"] = {"region": "eu"}
    assert codes(raw) == set()
    inside = {
        "type": "test.send",
        "parentId": "n0",
        "configuration": {"url": "u", "text": "{{ item }}"},
    }
    assert codes(small({"type": "test.each"}, inside)) == {"INPUT_MISSING"}


def test_the_key_of_a_cache_is_checked_like_configuration() -> None:
    raw = changed("nodes", 1, "cache", value={"key": "{{ nodes.tell.receipt }}", "ttlSeconds": 60})
    assert the_issue(raw, "EXPRESSION_NODE_NOT_BEFORE").path == ("nodes", "1", "cache", "key")
    assert codes(changed("nodes", 1, "cache", value={"ttlSeconds": 60})) == set()


def test_nodes_on_call_and_in_circles_know_no_before() -> None:
    send = {"type": "test.send", "configuration": {"url": "u", "text": "{{ nodes.n0.table }}"}}
    assert codes(small({"compensation": "n1"}, send)) == set()
    arrows = [("n0", "", "n1", ""), ("n1", "", "n0", "")]
    circle = small({"type": "test.merge"}, {"type": "test.merge"}, send, connections=arrows)
    assert "EXPRESSION_NODE_NOT_BEFORE" not in codes(circle)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("metrics.accuracy > 0.95", None),
        ("{{ value.accuracy > 0.95 and nodes.fit.metrics.f1 }}", None),
        ("nodes.rows.table", None),
        ("nodes.tell.receipt", "EXPRESSION_NODE_NOT_BEFORE"),
        ("secrets.TOKEN", "EXPRESSION_NAME_UNKNOWN"),
        ("accuracy > 0.95", "EXPRESSION_NAME_UNKNOWN"),
        ("a b", "EXPRESSION_SYNTAX"),
    ],
)
def test_conditions_see_what_leaves_their_source(text: str, code: str | None) -> None:
    assert codes(conditioned(text)) == ({code} if code else set())


def test_conditions_of_unknown_nodes_are_not_judged_further() -> None:
    raw = small(
        {"type": "nobody.knows"},
        {"type": "test.book"},
        connections=[("n0", "a", "n1", "value", "value")],
    )
    assert codes(raw) == {"NODE_TYPE_UNKNOWN"}
    raw = small({}, connections=[("gone", "a", "n0", "value", "value")])
    assert codes(raw) == {"CONNECTION_END_UNKNOWN"}


def parameter(**fields: Any) -> dict[str, Any]:
    return {"parameters": [{"name": "a", **fields}]}


@pytest.mark.parametrize(
    ("configuration", "code"),
    [
        ({"parameters": [{"name": "a"}, {"name": "a"}]}, "PARAMETER_DUPLICATE"),
        (parameter(schema={"type": "int"}), "PARAMETER_SCHEMA_INVALID"),
        (parameter(schema={"pattern": "(a+)+$"}), "PARAMETER_SCHEMA_INVALID"),
        (parameter(schema={"allOf": [{"$ref": "#"}]}), "PARAMETER_SCHEMA_INVALID"),
        (parameter(schema={"type": "string"}, default=1), "PARAMETER_DEFAULT_INVALID"),
        (parameter(schema={"title": "x" * 65_536}), "PARAMETER_SCHEMA_INVALID"),
        ({"parameters": [{"name": "class"}]}, "PARAMETER_NAME_RESERVED"),
        ({"variables": {"a b": 1}}, "VARIABLE_NAME_INVALID"),
        ({"variables": {"in": 1}}, "VARIABLE_NAME_INVALID"),
        ({"schedules": [{"cron": "every day"}]}, "SCHEDULE_INVALID"),
        ({"schedules": [{"cron": "0 6 * * *", "timezone": "Mars/Olympus"}]}, "TIMEZONE_UNKNOWN"),
    ],
)
def test_rules_about_the_whole(configuration: dict[str, Any], code: str) -> None:
    assert the_issue(small({}, **configuration), code).path[0] == "configuration"


@pytest.mark.parametrize(
    "text", ["* * * * *", "*/5 0-6/2 1,15 JAN-MAR MON-FRI", "59 23 31 12 7", "0 0 * * SUN"]
)
def test_schedules_are_five_fields(text: str) -> None:
    assert is_cron(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "* * * *",
        "60 * * * *",
        "* * 0 * *",
        "5-1 * * * *",
        "*/0 * * * *",
        "* * * FOO *",
        "1- * * * *",
    ],
)
def test_what_is_no_schedule(text: str) -> None:
    assert not is_cron(text)


def test_a_flood_of_issues_is_cut() -> None:
    raw = small(*({"type": "nobody.knows"} for _ in range(300)))
    assert len(report(raw).issues) == 200


def test_what_a_container_reads_after_a_turn_stands_in_its_body() -> None:
    nodes = [
        {"id": "again", "type": "control.loop", "configuration": {"until": "{{ nodes.x.table }}"}},
        {"id": "x", "type": "test.source", "parentId": "again"},
    ]
    known = Catalogue((*CATALOGUE.all_types(), node_type_of(loop)))
    _, found = read_and_validate({"name": "x", "type": "ml", "nodes": nodes}, known)
    assert "EXPRESSION_NODE_NOT_BEFORE" not in {issue.code for issue in found.issues}


def test_a_cache_of_what_touches_the_world_is_warned_of() -> None:
    kept = {"ttlSeconds": 60}
    for kind, effect in (("test.source", False), ("test.send", True)):
        raw = small({"type": kind, "cache": kept})
        assert ("CACHE_IGNORED" in codes(raw)) is effect
