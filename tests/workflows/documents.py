"""Small documents for the rules, and what the validator says of them."""

from __future__ import annotations

import copy
from typing import Any

from apps.workflows.graph.issues import Issue, Report
from apps.workflows.graph.validate import read_and_validate
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
