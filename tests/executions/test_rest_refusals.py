"""What the REST API refuses: a stable code, how to mend it, and nothing half-written."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

from apps.tenancy import scope
from apps.tenancy.actors import Permission
from apps.tenancy.limits import Metric, set_limits
from tests.executions.rest_calls import Program, deployed, program, runs_of
from tests.factories import tenancy as make

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("test_nodes")]


@pytest.mark.parametrize(
    ("wait", "given", "status", "path"),
    [
        (61, {}, 400, ["wait"]),
        (-1, {}, 400, ["wait"]),
        ("nan", {}, 400, ["wait"]),
        (0, {"json": {"inputs": {}}}, 400, ["inputs"]),
        (0, {"json": {"parameters": [1]}}, 400, ["parameters"]),
        (0, {"json": {"parameters": {"town": 1}, "environment": "PRODUCTION"}}, 400, None),
        (0, {"json": {"version": 1}}, 400, ["version"]),
        (0, {"json": {"environment": "MOON"}}, 400, ["environment"]),
        (0, {"json": [1]}, 400, None),
        (0, {"content": b"{", "headers": {"Content-Type": "application/json"}}, 400, None),
        (0, {"content": b'{"parameters": {"a": "\\u0000"}}'}, 415, None),
        (0, {"content": b"x" * 300_000}, 413, None),
    ],
)
def test_what_is_wrong_is_said_and_nothing_starts(
    acme: make.Tenant, wait: object, given: dict[str, Any], status: int, path: list[str] | None
) -> None:
    answer = program(acme).start(deployed(acme), wait=wait, **given)

    assert answer.status_code == status, answer.text
    assert answer.headers["Content-Type"] == "application/problem+json"
    problem = answer.json()
    assert problem["code"] == "INVALID"
    assert problem["detail"]
    assert problem["requestId"] == answer.headers["X-Request-ID"]
    assert path is None or problem["path"] == path
    assert runs_of(acme) == 0


def test_each_act_needs_its_permission(acme: make.Tenant) -> None:
    workflow = deployed(acme)
    reads = program(acme, Permission.WORKFLOWS_READ)
    runs = program(acme, Permission.WORKFLOWS_RUN)
    url = runs.start(workflow).json()["url"]

    refused = [
        reads.start(workflow),
        reads.call("POST", f"{url}/cancel"),
        runs.call("GET", url),
        runs.start(workflow, wait=1),
        Program(None).start(workflow),
        Program("nsx_nonsense").call("GET", url),
    ]

    assert [answer.status_code for answer in refused] == [403, 403, 403, 403, 401, 401]
    assert [answer.json()["code"] for answer in refused[-2:]] == ["UNAUTHENTICATED"] * 2
    assert refused[-1].headers["WWW-Authenticate"] == "Bearer"
    assert runs_of(acme) == 1


def test_a_foreign_id_is_told_like_none(acme: make.Tenant, globex: make.Tenant) -> None:
    workflow, client = deployed(acme), program(acme)
    url = client.start(workflow).json()["url"]
    stranger = program(globex)
    nothing = uuid.uuid4()

    for method, theirs, none in (
        ("POST", f"/api/v1/workflows/{workflow}/runs", f"/api/v1/workflows/{nothing}/runs"),
        ("GET", url, f"/api/v1/runs/{nothing}"),
        ("GET", f"{url}?wait=5", f"/api/v1/runs/{nothing}?wait=5"),
        ("POST", f"{url}/cancel", f"/api/v1/runs/{nothing}/cancel"),
        ("GET", "/api/v1/runs/what", f"/api/v1/runs/{nothing}"),
    ):
        answers = [stranger.call(method, path) for path in (theirs, none)]
        told = [{**answer.json(), "requestId": ""} for answer in answers]
        assert told[0] == told[1]
        assert told[0]["code"] == "NOT_FOUND"
    assert client.call("GET", url).json()["status"] == "QUEUED"


def test_points_and_quotas_are_the_plans(acme: make.Tenant) -> None:
    workflow, client = deployed(acme), program(acme)
    with scope.tenant(acme.id, actor=acme.owner):
        set_limits({Metric.RUNS_PER_MONTH: 0})
    refused = client.start(workflow)

    assert refused.status_code == 429
    assert refused.json()["code"] == "QUOTA_EXCEEDED"
    assert refused.json()["metric"] == "runs_per_month"
