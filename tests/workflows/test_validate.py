"""What a valid document is, rules about nodes and containers, and how much is said at once."""

from __future__ import annotations

from typing import Any

import pytest

from apps.workflows.graph.document import DocumentInvalid, parse
from apps.workflows.graph.issues import Report, Severity, Status
from apps.workflows.graph.validate import require, validate
from tests.factories.workflow_nodes import training
from tests.workflows.documents import (
    CATALOGUE,
    codes,
    report,
    small,
    the_issue,
)


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
