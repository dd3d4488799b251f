"""Every rule of the document, by its code; what a valid document is; no document breaks it."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from apps.workflows.graph import patch
from apps.workflows.graph.document import DocumentInvalid, parse
from apps.workflows.graph.issues import Issue, Report, Severity, Status
from apps.workflows.graph.normal import normalize, read
from apps.workflows.graph.rules.settings import is_cron
from apps.workflows.graph.validate import read_and_validate, require, validate
from tests.factories.workflow_nodes import catalogue, training

CATALOGUE = catalogue()


def report(raw: Any) -> Report:
    return read_and_validate(raw, CATALOGUE)[1]


def codes(raw: Any) -> set[str]:
    return {issue.code for issue in report(raw).issues}


def the_issue(raw: Any, code: str) -> Issue:
    (only,) = [issue for issue in report(raw).issues if issue.code == code]
    assert only.message.rstrip("`").endswith((".", "?")), only.message
    return only


def small(*nodes: dict[str, Any], connections: Any = (), **configuration: Any) -> dict[str, Any]:
    return {
        "name": "x",
        "type": "ml",
        "nodes": [
            {"id": f"n{number}", "type": "test.source", **node} for number, node in enumerate(nodes)
        ],
        "connections": [
            dict(
                zip(
                    ("source", "sourcePort", "target", "targetPort", "condition"), one, strict=False
                )
            )
            for one in connections
        ],
        "configuration": configuration,
    }


def changed(*path: Any, value: Any) -> dict[str, Any]:
    """The training document with one place changed."""
    document = copy.deepcopy(training())
    at: Any = document
    for part in path[:-1]:
        at = at[part]
    at[path[-1]] = value
    return document


def configured(**configuration: Any) -> dict[str, Any]:
    return changed("nodes", 1, "configuration", value={"target": "x", **configuration})


def told(text: str) -> dict[str, Any]:
    """An expression in the node that comes last."""
    return changed("nodes", 2, "configuration", "text", value=text)


def conditioned(text: str) -> dict[str, Any]:
    return changed("connections", 1, "condition", value=text)


def test_a_valid_document_is_valid() -> None:
    assert report(training()) == Report()
    assert report(training()).status is Status.VALID


def test_an_empty_document_is_worth_a_warning() -> None:
    found = report({"name": "x", "type": "ml"})
    assert found.status is Status.WARNINGS
    assert [issue.code for issue in found.issues] == ["NO_NODES"]


def test_an_unreadable_document_has_a_report_too() -> None:
    assert codes("{") == {"NOT_JSON"}


def test_errors_come_first_and_forbid_to_run() -> None:
    document = parse(small({"type": "test.each", "onError": "route"}))
    found = validate(document, CATALOGUE)
    severities = [issue.severity for issue in found.issues]
    assert severities == sorted(severities, key=list(Severity).index)
    assert found.status is Status.INVALID
    with pytest.raises(DocumentInvalid) as caught:
        require(document, CATALOGUE)
    assert {issue.code for issue in caught.value.issues} == {"INPUT_MISSING"}
    assert require(parse(training()), CATALOGUE).status is Status.VALID


@pytest.mark.parametrize(
    ("raw", "code", "node_id"),
    [
        (small({"id": "a"}, {"id": "a"}), "NODE_ID_DUPLICATE", "a"),
        (small({"id": "lambda"}), "NODE_ID_RESERVED", "lambda"),
        (small({"type": "test.sorce"}), "NODE_TYPE_UNKNOWN", "n0"),
        (small({"type": "zzz"}), "NODE_TYPE_UNKNOWN", "n0"),
        (small({"typeVersion": "9"}), "NODE_TYPE_VERSION_UNKNOWN", "n0"),
        (small({"type": "test.train"}), "NODE_TYPE_DEPRECATED", "n0"),
        (small({"type": "test.train"}), "NODE_TYPE_OUTDATED", "n0"),
        (small({"type": "test.merge"}), "EXTRA_MISSING", "n0"),
        (small({"compensation": "n0"}), "COMPENSATION_OF_ITSELF", "n0"),
        (small({"compensation": "gone"}), "NODE_REFERENCE_UNKNOWN", "n0"),
        (small({"onError": [{"do": "fallback"}]}), "ERROR_RULE_INVALID", "n0"),
        (small({"onError": [{"do": "fallback", "with": {"node": "n0"}}]}),
         "ERROR_RULE_INVALID", "n0"),
        (small({"onError": [{"do": "compensate", "with": {"then": "gone"}}]}),
         "NODE_REFERENCE_UNKNOWN", "n0"),
        (small(errorHandler="gone"), "NODE_REFERENCE_UNKNOWN", None),
        (small({"parentId": "gone"}), "PARENT_UNKNOWN", "n0"),
        (small({}, {"parentId": "n0"}), "PARENT_NOT_CONTAINER", "n1"),
        (small({"type": "test.each"}), "CONTAINER_EMPTY", "n0"),
        (small({"type": "test.train"}), "INPUT_MISSING", "n0"),
        (small({"onError": "route"}), "ERROR_ROUTE_OPEN", "n0"),
        (small({"type": "test.send", "retry": {}}), "RETRY_UNSAFE", "n0"),
    ],
)  # fmt: skip
def test_rules_about_nodes(raw: Any, code: str, node_id: str | None) -> None:
    assert the_issue(raw, code).node_id == node_id


def test_a_circle_of_parents_is_refused_at_each_of_them() -> None:
    raw = small({"type": "test.each", "parentId": "n1"}, {"type": "test.each", "parentId": "n0"})
    assert [i.node_id for i in report(raw).issues if i.code == "PARENT_CYCLE"] == ["n0", "n1"]


def test_containers_nest_sixteen_deep() -> None:
    def nested(depth: int) -> dict[str, Any]:
        each = [
            {"type": "test.each", "parentId": f"n{at - 1}" if at else None} for at in range(depth)
        ]
        return small(*each, {"parentId": f"n{depth - 1}"})

    assert "TOO_DEEP" not in codes(nested(16))
    assert the_issue(nested(17), "TOO_DEEP").node_id == "n17"


@pytest.mark.parametrize(
    ("connection", "code"),
    [
        (("gone", "table", "n1", "table"), "CONNECTION_END_UNKNOWN"),
        (("n0", "table", "gone", "table"), "CONNECTION_END_UNKNOWN"),
        (("n0", "tabel", "n1", "table"), "PORT_UNKNOWN"),
        (("n0", "table", "n1", "zzz"), "PORT_UNKNOWN"),
        (("n0", "report", "n1", "table"), "PORT_TYPES_DIFFER"),
        (("n1", "model", "n1", "table"), "CYCLE"),
        (("n1", "model", "n0", ""), "PORT_UNNAMED"),
    ],
)
def test_rules_about_connections(connection: tuple[str, ...], code: str) -> None:
    raw = small({}, {"type": "test.train", "typeVersion": "2"}, connections=[connection])
    found = [issue for issue in report(raw).issues if issue.code == code]
    assert [issue.connection_id for issue in found] == ["c1"]


def test_a_misspelt_port_can_be_mended_by_its_fix() -> None:
    raw = changed("connections", 0, "sourcePort", value="tabel")
    issue = the_issue(raw, "PORT_UNKNOWN")
    assert report(patch.apply(raw, list(issue.fix))) == Report()


def test_an_unknown_type_and_version_can_be_mended_by_their_fixes() -> None:
    for path, value, code in (
        (("nodes", 1, "type"), "test.trian", "NODE_TYPE_UNKNOWN"),
        (("nodes", 1, "typeVersion"), "7", "NODE_TYPE_VERSION_UNKNOWN"),
    ):
        raw = changed(*path, value=value)
        assert report(patch.apply(raw, list(the_issue(raw, code).fix))) == Report()


def test_a_cycle_names_its_nodes_and_the_arrow_to_remove() -> None:
    merges = [{"type": "test.merge"} for _ in range(3)]
    arrows = [(f"n{at}", "table", f"n{(at + 1) % 3}", "first") for at in range(3)]
    raw = small(*merges, connections=arrows)
    issue = the_issue(raw, "CYCLE")
    assert "n0 → n1 → n2 → n0" in issue.message
    assert issue.fix == ({"op": "remove", "path": "/connections/2"},)


def test_a_long_cycle_is_named_by_its_beginning() -> None:
    merges = [{"type": "test.merge"} for _ in range(30)]
    arrows = [(f"n{at}", "table", f"n{(at + 1) % 30}", "first") for at in range(30)]
    assert "n8 → n9 → … → n0" in the_issue(small(*merges, connections=arrows), "CYCLE").message


def test_the_same_connection_twice_is_refused_another_condition_is_not() -> None:
    arrow = ("n0", "table", "n1", "table")
    train = {"type": "test.train", "typeVersion": "2", "configuration": {"target": "x"}}
    assert "CONNECTION_DUPLICATE" in codes(small({}, train, connections=[arrow, arrow]))
    both = [(*arrow, "value"), (*arrow, "not value")]
    assert codes(small({}, train, connections=both)) == set()


def test_connections_may_share_no_id() -> None:
    raw = changed("connections", 1, "id", value="c1")
    assert the_issue(raw, "CONNECTION_ID_DUPLICATE").path == ("connections", "1", "id")


def test_containers_hand_in_and_collect_through_their_inner_ports() -> None:
    inside = {"type": "test.book", "parentId": "n1"}
    arrows = [
        ("n0", "table", "n1", "rows"),
        ("n1", "item", "n2", "value"),
        ("n2", "error", "n1", "result"),
    ]
    raw = small({}, {"type": "test.each"}, {**inside, "onError": "route"}, connections=arrows)
    assert codes(raw) == set()


@pytest.mark.parametrize(
    ("arrow", "code"),
    [
        (("n0", "table", "n2", "value"), "CONNECTION_CROSSES_CONTAINER"),
        (("n1", "results", "n2", "value"), "PORT_UNKNOWN"),
        (("n2", "error", "n1", "rows"), "PORT_UNKNOWN"),
        (("n0", "table", "n1", "result"), "PORT_UNKNOWN"),
    ],
)
def test_no_connection_crosses_a_wall(arrow: tuple[str, ...], code: str) -> None:
    raw = small(
        {}, {"type": "test.each"}, {"type": "test.book", "parentId": "n1"}, connections=[arrow]
    )
    assert code in codes(raw)


def test_a_required_input_may_be_configured_instead() -> None:
    assert "INPUT_MISSING" not in codes(
        small({"type": "test.send", "configuration": {"url": "u", "text": "hello"}})
    )
    issue = the_issue(small({"type": "test.send", "configuration": {"url": "u"}}), "INPUT_MISSING")
    assert "configure `text`" in issue.message


def test_nodes_on_call_need_no_connections() -> None:
    train = {"type": "test.train", "typeVersion": "2", "configuration": {"target": "x"}}
    assert codes(small({"compensation": "n1"}, train)) == set()


def test_the_error_port_leads_somewhere_only_when_routed() -> None:
    book = {"type": "test.book"}
    arrow = ("n0", "error", "n1", "value")
    unrouted = small({}, book, connections=[arrow])
    issue = the_issue(unrouted, "ERROR_PORT_UNUSED")
    assert report(patch.apply(unrouted, list(issue.fix))) == Report()


@pytest.mark.parametrize(
    ("node", "code"),
    [
        ({"inputs": [{"name": "mine"}]}, "PORT_NOT_DYNAMIC"),
        ({"outputs": [{"name": "mine"}]}, "PORT_NOT_DYNAMIC"),
        ({"outputs": [{"name": "table", "dataType": "model"}]}, "PORT_CONTRADICTS"),
        (
            {"type": "test.merge", "inputs": [{"name": "m", "dataType": "model"}]},
            "PORT_CONTRADICTS",
        ),
        ({"type": "test.merge", "inputs": [{"name": "m", "dataType": "soup"}]}, "PORT_CONTRADICTS"),
        ({"type": "test.merge", "inputs": [{"name": "m"}, {"name": "m"}]}, "PORT_DUPLICATE"),
        ({"type": "test.merge", "inputs": [{"name": ""}]}, "PORT_UNNAMED"),
    ],
)
def test_rules_about_ports_of_ones_own(node: dict[str, Any], code: str) -> None:
    assert the_issue(small(node), code).node_id == "n0"


def test_dynamic_ports_connect_like_others_and_derived_ones_vanish() -> None:
    ports = [
        {"id": "first", "name": "first", "dataType": "table"},
        {"name": "third", "dataType": "table", "required": True},
    ]
    merge = {
        "type": "test.merge",
        "inputs": ports,
        "outputs": [{"name": "error", "dataType": "json"}, {"name": "extra2"}],
    }
    raw = small({}, merge, connections=[("n0", "table", "n1", "first")])
    document = read(raw, CATALOGUE)
    assert [port.name for port in document.nodes[1].inputs] == ["third"]
    assert [port.name for port in document.nodes[1].outputs] == ["extra2"]
    assert the_issue(raw, "INPUT_MISSING").path == ("nodes", "1", "inputs", "third")
    document = parse(small(merge))
    assert not [i for i in validate(document, CATALOGUE).issues if i.code.startswith("PORT_")]
    assert normalize(normalize(document, CATALOGUE), CATALOGUE) == normalize(document, CATALOGUE)


def test_ports_left_unnamed_are_chosen_where_one_fits() -> None:
    short = {
        "name": "x",
        "type": "ml",
        "nodes": [
            {"type": "test.source"},
            {"type": "test.train", "typeVersion": "2", "configuration": {"target": "x"}},
            {"type": "test.book"},
        ],
    }
    document = read(short, CATALOGUE)
    assert [(one.source_port, one.target_port) for one in document.connections] == [
        ("table", "table"),
        ("model", "value"),
    ]
    assert validate(document, CATALOGUE) == Report()


def test_free_and_required_ports_are_chosen_before_others() -> None:
    raw = small(
        {}, {}, {}, {"type": "test.merge"}, connections=[(f"n{at}", "", "n3") for at in range(3)]
    )
    document = read(raw, CATALOGUE)
    assert [one.target_port for one in document.connections] == ["first", "rest", "rest"]


def test_ports_inside_and_outside_of_containers_are_not_confused() -> None:
    raw = small(
        {},
        {"type": "test.each"},
        {"type": "test.book", "parentId": "n1"},
        {"type": "nobody.knows"},
        connections=[("n0", "", "n1"), ("n1", "", "n2"), ("n2", "", "n1"), ("n3", "", "n3")],
    )
    document = read(raw, CATALOGUE)
    assert [(one.source_port, one.target_port) for one in document.connections] == [
        ("table", "rows"),
        ("item", "value"),
        ("error", "result"),
        ("", ""),
    ]


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
        ({"variables": {"a b": 1}}, "VARIABLE_NAME_INVALID"),
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
