"""Rules about what happens when a step fails."""

from __future__ import annotations

from typing import Any

import pytest

from apps.workflows.graph.document import parse, to_json
from tests.workflows.documents import codes, report, small, the_issue


def rule(do: str, **arguments: Any) -> dict[str, Any]:
    return {"match": {}, "do": do, "with": arguments}


def calling(node_id: str, target: str) -> dict[str, Any]:
    return {"id": node_id, "onError": [rule("fallback", node=target)]}


@pytest.mark.parametrize(
    ("action", "arguments"),
    [
        ("fallback", {}),
        ("fallback", {"node": "n1", "workflow": "other"}),
        ("fallback", {"node": "n0"}),
        ("fallback", {"node": "n1", "then": "n1"}),
        ("compensate", {"node": "n1"}),
        ("compensate", {"then": "n0"}),
        ("compensate", {"timeoutSeconds": 5}),
        ("escalate", {"workflow": "other"}),
        ("fail", {"node": "n1"}),
    ],
)
def test_a_rule_has_the_arguments_of_its_action(action: str, arguments: dict[str, Any]) -> None:
    raw = small({"onError": [rule(action, **arguments)]}, {})
    assert the_issue(raw, "ERROR_RULE_INVALID").node_id == "n0"


@pytest.mark.parametrize(
    ("action", "arguments"),
    [
        ("fallback", {"node": "n1"}),
        ("fallback", {"workflow": "other"}),
        ("compensate", {"then": "n1"}),
        ("compensate", {}),
        ("escalate", {"timeoutSeconds": 60}),
    ],
)
def test_a_complete_rule_is_kept_as_written(action: str, arguments: dict[str, Any]) -> None:
    written = [{"match": {"classes": ["timeout", "rateLimit"]}, "do": action, "with": arguments}]
    raw = small({"onError": written}, {})
    assert "ERROR_RULE_INVALID" not in codes(raw)
    kept = to_json(parse(raw))["nodes"][0]["onError"][0]
    assert kept == {**written[0], "with": arguments} if arguments else kept["do"] == action


def test_one_word_stands_only_for_a_rule_that_says_no_more() -> None:
    narrow = [{"match": {"classes": ["permanent"]}, "do": "continue"}]
    assert to_json(parse(small({"onError": narrow})))["nodes"][0]["onError"] == narrow
    wide = [{"do": "continue"}]
    assert to_json(parse(small({"onError": wide})))["nodes"][0]["onError"] == "continue"


def test_a_class_nobody_knows_is_refused() -> None:
    raw = small({"onError": [{"match": {"classes": ["sometimes"]}, "do": "fail"}]})
    assert codes(raw) == {"VALUE_NOT_ALLOWED"}


def test_undoing_needs_something_that_can_be_undone() -> None:
    raw = small({"onError": [rule("compensate")]}, {})
    assert the_issue(raw, "NOTHING_TO_COMPENSATE").node_id == "n0"
    raw["nodes"][1]["compensation"] = "n0"
    assert "NOTHING_TO_COMPENSATE" not in codes(raw)


def test_nodes_on_call_take_no_connections_unless_a_path_begins_there() -> None:
    arrow = ("n1", "error", "n2", "value")
    raw = small({"compensation": "n1"}, {}, {}, connections=[arrow])
    assert the_issue(raw, "RESERVED_NODE_CONNECTED").node_id == "n1"
    raw["nodes"][2]["onError"] = [rule("compensate", then="n1")]
    assert "RESERVED_NODE_CONNECTED" not in codes(raw)


def test_nodes_on_call_stand_beside_their_callers() -> None:
    box = {"type": "test.each"}
    raw = small(box, {"parentId": "n0", "compensation": "n2"}, {})
    assert the_issue(raw, "RESERVED_NODE_ELSEWHERE").node_id == "n1"
    raw["nodes"][2]["parentId"] = "n0"
    assert "RESERVED_NODE_ELSEWHERE" not in codes(raw)


def test_an_alternative_path_begins_outside_containers() -> None:
    raw = small({"onError": [rule("compensate", then="n2")]}, {"type": "test.each"}, {})
    assert "ERROR_RULE_INVALID" not in codes(raw)
    raw["nodes"][2]["parentId"] = "n1"
    assert the_issue(raw, "ERROR_RULE_INVALID").node_id == "n0"


def test_fallbacks_of_fallbacks_come_to_an_end() -> None:
    chain = small(calling("a", "b"), calling("b", "c"), {"id": "c"})
    assert "FALLBACK_CIRCLE" not in codes(chain)
    chain["nodes"][2] |= calling("c", "b")
    found = [one.node_id for one in report(chain).issues if one.code == "FALLBACK_CIRCLE"]
    assert found == ["a", "b", "c"]


def test_an_error_handler_is_a_workflow_or_a_node_of_this_one() -> None:
    assert codes(small({}, errorHandler={"workflow": "other"})) == codes(small({}))
    assert codes(small({}, errorHandler="n0")) == codes(small({}))
    assert "NODE_REFERENCE_UNKNOWN" in codes(small({}, errorHandler="gone"))
    assert codes(small({}, errorHandler={"node": "n0"})) & {"UNKNOWN_FIELD", "FIELD_REQUIRED"}


def test_the_key_of_a_ceiling_refers_to_what_there_is() -> None:
    raw = small({"concurrency": {"key": "{{ parameters.account }}", "limit": 2}})
    assert the_issue(raw, "EXPRESSION_PARAMETER_UNKNOWN").node_id == "n0"
