"""Transactions of a worker's ticks, which hold what all need: runs, lanes, quotas, the outbox."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final
from uuid import UUID

from django.db import connection
from django.db.backends.utils import CursorWrapper

from apps.tenancy import scope

STILL_SECONDS: Final = 1
"""Between two statements there are milliseconds of work; what is dead is due a second later."""
_BRIEFLY: Final = f"SET LOCAL idle_in_transaction_session_timeout = '{STILL_SECONDS}s'"


@contextmanager
def transaction(tenant_id: UUID) -> Iterator[CursorWrapper]:
    """A tenant's scope and a transaction that is rolled back when this process stands still."""
    with scope.tenant(tenant_id), connection.cursor() as cursor:
        cursor.execute(_BRIEFLY)
        yield cursor
