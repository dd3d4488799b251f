"""What people do while a storm blows: decide what they are asked, and fork what has ended."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterable

from django.db import connection

from apps.executions.engine.seeds import StepGiven, given_body
from apps.executions.models import RunEvent
from apps.kit.errors import Refusal
from apps.kit.ids import uuid7
from apps.tenancy import scope
from apps.versions.actions import decide_approval
from apps.versions.models import Approval
from tests.chaos.matrix import SLOTS, facts_of
from tests.chaos.mix import Shape
from tests.factories.tenancy import Tenant

AT_ONCE = 50


def decide_all(tenants: Iterable[Tenant]) -> None:
    """Everything that waits for a decision is approved by the owner."""
    for tenant in tenants:
        with scope.tenant(tenant.id):
            asked = list(Approval.objects.waiting().values_list("pk", flat=True)[:AT_ONCE])
        for approval_id in asked:
            try:
                with scope.tenant(tenant.id, actor=tenant.owner):
                    decide_approval(actor=tenant.owner, approval_id=approval_id, approve=True)
            except Refusal:
                continue  # Its run has ended meanwhile.


def completed(tenant: Tenant, source: uuid.UUID) -> set[str]:
    """The steps of a run that have an outcome; one that was given up may have failed at the first.

    What has failed is not to be kept: everybody behind it would be skipped.
    """
    with scope.tenant(tenant.id):
        found = RunEvent.objects.filter(run_id=source, type="step.completed")
        return set(found.values_list("path", flat=True))


def fork(tenant: Tenant, source: uuid.UUID, shape: Shape) -> uuid.UUID:
    """A run that keeps of another what the shape says and does the rest again, under new keys."""
    run_id = uuid7()
    names = [node["id"] for node in shape.document["nodes"]]
    given = [
        {"path": name, "body": given_body(StepGiven(path=name, generation=2))}
        for name in names
        if name not in shape.kept
    ]
    with scope.tenant(tenant.id), connection.cursor() as cursor:
        cursor.execute("SELECT version_id, pool, head FROM run WHERE id = %s", [source])
        version, pool, head = cursor.fetchone()
        facts = facts_of(tenant, version, pool=pool) | {
            "lineage_id": str(source),
            "retried_from_id": str(source),
        }
        cursor.execute(
            "SELECT executions_chain_5(%s, %s, %s, %s, %s, %s::jsonb, %s::jsonb, %s::jsonb,"
            " %s, %s, 1)",
            [
                tenant.id, run_id, source, head, list(shape.kept), json.dumps(given),
                json.dumps(facts), '{"trigger": "API"}', SLOTS, SLOTS,
            ],
        )  # fmt: skip
    return run_id
