"""A workflow that calls another, through the product's own worker process: expressions and all."""

from __future__ import annotations

from typing import Any

import pytest

from apps.executions.actions import start_run
from apps.executions.models import Run
from apps.tenancy import scope
from apps.workflows.actions import create_workflow
from apps.workflows.graph.callees import SUBWORKFLOW
from tests.executions.world import finished
from tests.factories.graphs import raw, to
from tests.factories.tenancy import Tenant
from tests.nodes.test_through_the_engine import _worker  # noqa: F401 - the fixture

pytestmark = pytest.mark.django_db(transaction=True)


def constant(node_id: str, value: Any) -> dict[str, Any]:
    return {"id": node_id, "type": "input.constant", "configuration": {"value": value}}


@pytest.mark.usefixtures("_worker")
def test_what_an_expression_gives_reaches_the_child_and_comes_back(acme: Tenant) -> None:
    takes = [{"name": "n", "schema": {"type": "integer"}, "required": True}]
    given = {"n": "{{ nodes.seven.value.n * parameters.times }}"}
    with scope.tenant(acme.id, actor=acme.owner):
        child = create_workflow(
            actor=acme.owner,
            document=raw([constant("twice", "{{ parameters.n * 2 }}")], parameters=takes),
        )
        call = {"workflow": str(child.pk), "parameters": given}
        sub = {"id": "sub", "type": SUBWORKFLOW, "configuration": call}
        parent = create_workflow(
            actor=acme.owner,
            document=raw(
                [constant("seven", {"n": 7}), sub],
                [to("seven.value", "sub.parameters")],
                parameters=[{"name": "times", "default": 3}],
            ),
        )
        run = start_run(actor=acme.owner, workflow_id=parent.pk)
    ended = finished(acme, run.pk, seconds=60)
    assert (ended.state, ended.error) == ("SUCCEEDED", None)
    result: Any = ended.result
    assert result["sub"]["result"] == {"twice": {"value": 42}}
    with scope.tenant(acme.id):
        assert Run.objects.children(run.pk).get().parameters == {"n": 21}
