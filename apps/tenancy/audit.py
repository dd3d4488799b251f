"""The audit trail: one row per act, written in the act's own transaction, sealed by a job.

The chain is sealed later because one row per tenant that every act updates would make all acts of
a tenant wait for each other. What is not sealed yet is named by the verifier, never passed over.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.core.serializers.json import DjangoJSONEncoder
from django.db import connection

from apps.tenancy import scope
from apps.tenancy.actors import Actor
from apps.tenancy.models import AuditRow

GENESIS = "0" * 64
SEAL_AT_ONCE = 1_000


@dataclass(frozen=True)
class Verdict:
    """What a verification found: rows that hold, the first position that does not, the tail."""

    sealed: int
    broken_at: int | None
    unsealed: int


def record(
    *,
    actor: Actor,
    action: str,
    target: str,
    before: Mapping[str, Any] | None = None,
    after: Mapping[str, Any] | None = None,
) -> AuditRow:
    """Write down that `actor` did `action` ("workflow.create") to `target` ("Workflow:<uuid>")."""
    return AuditRow.objects.create(
        tenant_id=actor.tenant_id or scope.current_tenant_id(),
        actor=actor.name[:160],
        user_id=actor.user_id,
        api_key_id=actor.api_key_id,
        ip=actor.ip,
        action=action,
        target=target,
        before=None if before is None else dict(before),
        after=None if after is None else dict(after),
    )


def seal() -> int:
    """Append the scope's unsealed rows to its chain; returns how many. One sealer per tenant."""
    tenant_id = scope.current_tenant_id()
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 7))", [str(tenant_id)])
    last = AuditRow.objects.exclude(position=None).order_by("-position").first()
    position, previous = (last.position or 0, last.hash) if last else (0, GENESIS)
    rows = list(AuditRow.objects.filter(position=None).order_by("id")[:SEAL_AT_ONCE])
    for row in rows:
        position += 1
        row.position, row.previous_hash = position, previous
        row.hash = previous = digest(row)
    AuditRow.objects.bulk_update(rows, ["position", "previous_hash", "hash"], batch_size=200)
    return len(rows)


def verify() -> Verdict:
    """Walk the scope's chain from its beginning."""
    expected, previous = 0, GENESIS
    broken: int | None = None
    for row in AuditRow.objects.exclude(position=None).order_by("position").iterator(500):
        expected += 1
        intact = row.position == expected and row.previous_hash == previous
        if not intact or row.hash != digest(row):
            broken = expected
            break
        previous = row.hash
    unsealed = AuditRow.objects.filter(position=None).count()
    return Verdict(sealed=expected - (broken is not None), broken_at=broken, unsealed=unsealed)


def digest(row: AuditRow) -> str:
    """SHA-256 over the row and its predecessor's hash."""
    content = [
        str(row.pk),
        str(row.tenant_id),
        row.position,
        row.previous_hash,
        row.at.isoformat(),
        row.actor,
        str(row.user_id),
        str(row.api_key_id),
        row.ip,
        row.action,
        row.target,
        row.before,
        row.after,
    ]
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), cls=DjangoJSONEncoder)
    return hashlib.sha256(text.encode()).hexdigest()
