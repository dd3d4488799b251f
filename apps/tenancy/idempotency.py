"""Idempotency keys: the same request again gets the first answer, another request a refusal."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from django.core.serializers.json import DjangoJSONEncoder

from apps.kit.clock import now
from apps.kit.errors import IdempotencyMismatch, Refusal
from apps.tenancy import scope
from apps.tenancy.models import IdempotencyKey

KEPT = dt.timedelta(hours=24)
MAX_KEY = 200


@dataclass
class Memory:
    """What is remembered of one key. `result_id` is set when the request was answered before."""

    result_id: uuid.UUID | None = None
    _row: IdempotencyKey | None = None

    def remember(self, result_id: uuid.UUID) -> None:
        """Store the answer, in the action's own transaction."""
        if self._row is not None:
            self._row.result_id = result_id
            self._row.save(update_fields=["result_id"])


@contextmanager
def remembered(*, operation: str, key: str | None, request: Any) -> Iterator[Memory]:
    """Use inside the action's transaction; without a key nothing is remembered.

    Two requests with one key at the same moment: the second waits for the first to commit.
    """
    if key is None:
        yield Memory()
        return
    if not 1 <= len(key) <= MAX_KEY:
        raise Refusal(
            f"An idempotency key has 1 to {MAX_KEY} characters.", path=("idempotencyKey",)
        )
    tenant_id = scope.current_tenant_id()
    digest = _digest(request)
    IdempotencyKey.objects.filter(operation=operation, key=key, expires_at__lte=now()).delete()
    IdempotencyKey.objects.bulk_create(
        [
            IdempotencyKey(
                tenant_id=tenant_id,
                operation=operation,
                key=key,
                request_digest=digest,
                expires_at=now() + KEPT,
            )
        ],
        ignore_conflicts=True,
    )
    row = (
        IdempotencyKey.objects.select_for_update().order_by("pk").get(operation=operation, key=key)
    )
    if row.request_digest != digest:
        raise IdempotencyMismatch
    yield Memory(result_id=row.result_id, _row=row)


def _digest(request: Any) -> str:
    text = json.dumps(request, sort_keys=True, separators=(",", ":"), cls=DjangoJSONEncoder)
    return hashlib.sha256(text.encode()).hexdigest()
