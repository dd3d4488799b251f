"""The scope of a step's tenant around what the platform does for the step."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

from django.db import close_old_connections, connection

from apps.tenancy import scope


@contextmanager
def inside(tenant_id: UUID) -> Iterator[None]:
    """The tenant's scope, without a transaction, on a connection that is alive.

    Steps run in threads that may have slept for hours, and in some that end with the step: a
    connection that was opened for this alone is closed again.
    """
    close_old_connections()
    was_open = connection.connection is not None
    try:
        with scope.enter(scope.Scope(tenant_id=tenant_id)):
            yield
    finally:
        if not was_open:
            connection.close()
