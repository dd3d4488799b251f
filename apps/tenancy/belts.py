"""The start-up check of belt three: a role that could bypass row-level security is refused."""

from __future__ import annotations

from typing import Any, Final
from weakref import WeakSet

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.db.backends.base.base import BaseDatabaseWrapper

_QUERY = """
    SELECT r.rolsuper, r.rolbypassrls,
           EXISTS (SELECT 1 FROM pg_class c WHERE c.relowner = r.oid AND c.relrowsecurity)
    FROM pg_roles r WHERE r.rolname = current_user
"""


# A pool hands the same connection out again and again, and nobody sets another role on it.
_FOUND_SAFE: Final[WeakSet[Any]] = WeakSet()


def refuse_unsafe_role(connection: BaseDatabaseWrapper, **_: Any) -> None:
    """Receiver of `connection_created`: raises unless the role is bound by the policies."""
    if settings.DATABASE_ROLE == "owner" or connection.vendor != "postgresql":
        return
    if connection.connection in _FOUND_SAFE:
        return
    with connection.cursor() as cursor:
        cursor.execute(_QUERY)
        is_super, bypasses, owns = cursor.fetchone()
    if is_super or bypasses or owns:
        connection.close()
        raise ImproperlyConfigured(
            "The database role of this process could read every tenant's rows (it is a superuser, "
            "has BYPASSRLS or owns protected tables). Set DATABASE_APP_URL and DATABASE_ENGINE_URL "
            "to ordinary roles, or let `make up` create them."
        )
    _FOUND_SAFE.add(connection.connection)
