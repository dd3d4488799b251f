"""Which workflows a document names, and whether what it gives them fits."""

from __future__ import annotations

import base64
import uuid
from typing import Any

import pytest

from apps.workflows.graph.callees import SUBWORKFLOW, callees, misfits, workflow_id_of
from tests.factories.graphs import a, document, to

KEY = uuid.UUID("01890a5d-ac96-774b-bcce-b302099a8057")


def step(node_id: str, **configuration: Any) -> dict[str, Any]:
    return {"id": node_id, "type": SUBWORKFLOW, "configuration": configuration}


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (str(KEY), KEY),
        (f" {KEY} ", KEY),
        (base64.b64encode(f"Workflow:{KEY}".encode()).decode(), KEY),
        (base64.b64encode(f"Version:{KEY}".encode()).decode(), None),
        (base64.b64encode(b"\xff\xfe").decode(), None),
        ("billing", None),
        ("x" * 300, None),
    ],
)
def test_an_id_is_read_as_the_api_writes_it(text: str, found: uuid.UUID | None) -> None:
    assert workflow_id_of(text) == found


def test_every_place_that_names_a_workflow_is_found() -> None:
    fallback = [{"match": {}, "do": "fallback", "with": {"workflow": "two"}}]
    drawn = document(
        [
            step("one", workflow="one", version="1.0.0", parameters={"n": 1}),
            a("x", onError=[{"match": {}, "do": "continue"}, *fallback]),
            step("later", workflow="{{ parameters.which }}"),
            {**step("off", workflow="off"), "disabled": True},
            step("bare"),
        ],
        errorHandler={"workflow": "three"},
    )
    found = list(callees(drawn))
    assert [one.workflow for one in found] == ["one", "two", "three"]
    assert [one.node_id for one in found] == ["one", "x", None]
    assert (found[0].version, found[0].given) == ("1.0.0", {"n": 1})
    assert found[1].path == ("nodes", "1", "onError", "1", "with", "workflow")
    assert found[2].path == ("configuration", "errorHandler", "workflow")


@pytest.mark.parametrize(
    ("configuration", "link"),
    [({"parameters": "{{ 1 }}"}, False), ({"version": "{{ 1 }}"}, False), ({}, True)],
)
def test_what_is_computed_is_not_known(configuration: dict[str, Any], *, link: bool) -> None:
    links = [to("x", "one.parameters")] if link else []
    drawn = document([a("x"), step("one", workflow="w", **configuration)], links)
    (one,) = callees(drawn)
    assert (one.version, one.given) == (None, None)
    assert list(misfits(one, document([]))) == []


def test_parameters_are_held_against_the_workflow() -> None:
    whole = {"type": "integer"}
    called = document(
        [],
        parameters=[
            {"name": "n", "schema": whole, "required": True},
            {"name": "late", "schema": whole},
            {"name": "m", "required": True},
        ],
    )
    given = {"n": "seven", "late": "{{ nodes.x.value }}", "other": "{{ 1 }}"}
    (one,) = callees(document([step("one", workflow="w", parameters=given)]))
    issues = list(misfits(one, called))
    assert [(issue.code, issue.path[-1]) for issue in issues] == [
        ("PARAMETER_UNKNOWN", "other"),
        ("PARAMETER_INVALID", "n"),
        ("PARAMETER_REQUIRED", "m"),
    ]
    assert issues[0].path == ("nodes", "0", "configuration", "parameters", "other")
    assert {issue.node_id for issue in issues} == {"one"}
