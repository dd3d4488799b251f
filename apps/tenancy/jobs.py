"""Platform jobs of tenancy; each derives its work from the database: a lost one loses nothing."""

from __future__ import annotations

import datetime as dt

from apps.kit.clock import now
from apps.tenancy import audit, periodic
from apps.tenancy.models import IdempotencyKey


@periodic.every(dt.timedelta(seconds=5))
def seal_audit_chains() -> None:
    """Append every tenant's unsealed audit rows to its hash chain."""
    periodic.for_each_tenant(lambda _: audit.seal())


@periodic.every(dt.timedelta(hours=1))
def forget_what_is_over() -> None:
    """Drop idempotency keys past their day and the claims of old periods."""
    periodic.for_each_tenant(
        lambda _: IdempotencyKey.objects.filter(expires_at__lte=now()).delete()
    )
    periodic.forget()
