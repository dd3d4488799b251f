"""A run of ten thousand steps and a map of many items: shown right, a page at a time."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.urls import reverse

from apps.executions import outline as outlines
from apps.executions.engine.state import StepStatus
from apps.executions.models import Run
from apps.executions.outline import attempts_at, outline
from apps.tenancy import scope
from apps.versions.models import WorkflowVersion
from tests.factories.tenancy import Tenant
from tests.pages.conftest import Furnished, happened

pytestmark = pytest.mark.django_db

ROUNDS = 10_000
HISTORY = """
    INSERT INTO run_event (tenant_id, run_id, seq, type, path, attempt, body, at)
    SELECT run.tenant_id, run.id, 10 + 3 * i + k, word.type, 'again[' || i || ']/say', 1,
           jsonb_build_object('startedAt', 1700000000000 + i) || word.body::jsonb, now()
      FROM run, generate_series(0, %s) i,
           (VALUES (0, 'step.dispatched', '{"pool": "io"}'),
                   (1, 'step.started', '{}'),
                   (2, 'step.completed', '{"outputs": {"text": "carried"}}')
           ) AS word (k, type, body)
     WHERE run.id = %s"""


def written(tenant: Tenant, sql: str, *given: Any) -> None:
    with scope.tenant(tenant.id), connection.cursor() as cursor:
        cursor.execute(sql, given)


def ended(tenant: Tenant, run: Any) -> None:
    happened(tenant, run, ("run.succeeded", None, None, {}))
    written(tenant, "UPDATE run SET state = 'SUCCEEDED', finished_at = now() WHERE id = %s", run)


@pytest.fixture
def long(acme: Tenant, furnished: Furnished) -> Furnished:
    """The run has done ten thousand iterations of a step."""
    written(acme, HISTORY, ROUNDS - 1, furnished.run)
    return furnished


def shown(client: Client, furnished: Furnished, page: int = 1) -> str:
    address = reverse("executions:run", args=[furnished.slug, furnished.run])
    return client.get(address, {"rows": page}).content.decode()


def test_every_step_of_a_long_run_is_shown_as_it_stands(
    owner: Client, acme: Tenant, long: Furnished
) -> None:
    ended(acme, long.run)
    first, last = shown(owner, long), shown(owner, long, page=999)

    assert f"{ROUNDS + 2:,} steps" in first
    assert f"10,002 <small>of {ROUNDS + 2:,}" in first
    assert "page 51 of 51" in last
    assert f"again[{ROUNDS - 1}]/say" in last
    assert "again[0]/say" not in last
    # The two steps of the document that never began, and no other.
    assert (first + last).count(">Canceled<") == 2
    assert "left out here" not in first


def test_one_look_carries_no_outputs_and_a_page_those_of_its_steps(
    acme: Tenant, long: Furnished
) -> None:
    with scope.tenant(acme.id):
        run = Run.objects.get(pk=long.run)
        document = WorkflowVersion.objects.get(pk=run.version_id).document
        seen = outline(run, document)
        some = attempts_at(run, document, ["again[7]/say"])

    assert len(seen.latest) == ROUNDS + 2
    assert not any(one.outputs for one in seen.latest)
    assert [(one.path, one.outputs) for one in some] == [("again[7]/say", {"text": "carried"})]


def test_what_is_left_out_is_said(
    owner: Client, long: Furnished, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outlines, "STEPS_LIMIT", ROUNDS - 1)
    assert "the others are left out here" in shown(owner, long)


def test_attempts_of_a_step_are_its_lines(
    owner: Client, acme: Tenant, furnished: Furnished
) -> None:
    begun = {"startedAt": 1_700_000_000_000}
    error = {"code": "BUSY", "message": "Later.", "nodeId": "say", "attempt": 1}
    wait = {**begun, "kind": "TIMER", "until": 1_700_000_060_000}
    happened(
        acme,
        furnished.run,
        ("step.given", "say", None, {"generation": 2}),
        ("step.attempt_failed", "say", 1, {**begun, "error": error, "retryAt": begun["startedAt"]}),
        ("step.waiting", "say", 2, {**wait, "startedAt": 1_700_000_001_000}),
        ("step.completed", "say", 2, {"startedAt": 1_700_000_061_000, "outputs": {}}),
    )
    with scope.tenant(acme.id):
        run = Run.objects.get(pk=furnished.run)
        document = WorkflowVersion.objects.get(pk=run.version_id).document
        seen = outline(run, document)
        failed, done = attempts_at(run, document, ["say"])

    assert seen.retries == 1
    assert seen.since == failed.started_at
    assert (failed.status, done.status) == (StepStatus.FAILED, StepStatus.SUCCEEDED)
    assert done.started_at is not None
    assert done.started_at.timestamp() == 1_700_000_001
    page = shown(owner, furnished)
    assert page.count("Say hello</div>") == 2
    assert "· attempt 2" in page


def test_a_map_says_how_far_it_is(owner: Client, acme: Tenant, furnished: Furnished) -> None:
    opening = {
        "total": 4_000,
        "items": [1, 2, 3],
        "chunkSize": 500,
        "concurrency": 8,
        "policy": "continue",
        "tolerated": None,
    }
    begun = {"startedAt": 1_700_000_000_000}
    happened(
        acme,
        furnished.run,
        ("step.opened", "say", 1, {**begun, "opening": opening}),
        ("chunk.dispatched", "say", 1, {"chunk": 0, "pool": "io"}),
        ("chunk.dispatched", "say", 1, {"chunk": 1, "pool": "io"}),
        ("chunk.completed", "say", 1, {"chunk": 0, "done": 480, "failed": 20}),
        ("chunk.completed", "say", 1, {"chunk": 1, "done": 500, "failed": 0}),
    )
    page = shown(owner, furnished)

    assert "980 of 4,000 items done" in page
    assert "<strong>20 failed" in page
    assert "state=failed" in page
