"""Which stored objects releases and installations refer to: what must not be collected."""

from __future__ import annotations

from django.db import connection

from apps.tenancy import scope

# The releases of the organization in force and those it has installed name objects by digest.
_DIGESTS = """
    SELECT DISTINCT named #>> '{}'
      FROM marketplace_release r,
           jsonb_path_query(r.document, '$.**."$artifact"') AS named
     WHERE (r.tenant_id = %(tenant)s OR r.id IN (
             SELECT i.release_id FROM marketplace_installation i WHERE i.tenant_id = %(tenant)s))
       AND jsonb_typeof(named) = 'string'
"""


def artifacts_in_releases() -> list[str]:
    """Every digest that a release of the tenant in force, or one it has installed, names."""
    with scope.transaction(), connection.cursor() as cursor:
        cursor.execute(_DIGESTS, {"tenant": scope.current_tenant_id()})
        return [digest for (digest,) in cursor.fetchall()]
