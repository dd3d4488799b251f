"""Rules about connections and ports, by their codes."""

from __future__ import annotations

from typing import Any

import pytest

from apps.workflows.graph import patch
from apps.workflows.graph.document import parse
from apps.workflows.graph.issues import Report
from apps.workflows.graph.normal import normalize, read
from apps.workflows.graph.validate import validate
from tests.workflows.documents import (
    CATALOGUE,
    changed,
    codes,
    report,
    small,
    the_issue,
)


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


def test_what_enters_a_body_enters_always() -> None:
    inside = {"type": "test.book", "parentId": "n0"}
    raw = small({"type": "test.each"}, inside, connections=[("n0", "item", "n1", "value")])
    raw["connections"][0]["condition"] = "value > 1"
    issue = the_issue(raw, "CONDITION_INTO_BODY")
    assert issue.path == ("connections", "0", "condition")
    assert issue.fix == ({"op": "remove", "path": "/connections/0/condition"},)


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
        ({"type": "test.merge", "inputs": [{"name": "from"}]}, "PORT_RESERVED"),
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
