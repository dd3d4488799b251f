"""A cached step in a run: where its outputs come from is told everywhere."""

from __future__ import annotations

from typing import Any

import pytest

from apps.executions.runner.local import LocalRunner
from apps.executions.sandbox import shared
from apps.kit.graphql.nodes import global_id
from apps.tenancy import scope
from apps.workflows.actions import create_workflow
from tests.executions.rest_calls import engine, program
from tests.factories import marketplace
from tests.factories import tenancy as make
from tests.graphql.calls import browser, caller

pytestmark = pytest.mark.django_db(transaction=True)
STEPS = "query($id: ID!) { execution(id: $id) { nodeRuns { nodes { nodeId status } } } }"


def test_the_second_run_takes_what_the_first_made(acme: make.Tenant) -> None:
    node: dict[str, Any] = marketplace.node("input.constant", id="one", value=7)
    node["cache"] = {"ttlSeconds": 600}
    with scope.tenant(acme.id, actor=acme.owner):
        drawn = create_workflow(actor=acme.owner, document=marketplace.document(node))
    client, key = program(acme), caller(acme)
    local = LocalRunner(sandbox=shared())
    path = f"/api/v1/workflows/{drawn.pk}/runs?wait=30"

    with engine(runner=local):
        first, second = (client.call("POST", path).json() for _ in range(2))
    local.close()

    assert first["result"] == second["result"] == {"one": {"value": 7}}
    told = [key.data(STEPS, id=global_id("Execution", run["id"])) for run in (first, second)]
    nodes = [one["execution"]["nodeRuns"]["nodes"] for one in told]
    assert [node[0]["status"] for node in nodes] == ["SUCCEEDED", "CACHED"]
    page = browser(acme.owner).get(f"/t/acme/runs/{second['id']}/").content.decode()
    assert "Cached" in page
