"""What only PostgreSQL can answer well: what the texts of all versions refer to."""

from __future__ import annotations

from django.db import connection

from apps.tenancy import scope

_DIGESTS = r"""
SELECT DISTINCT found.digest[1]
  FROM versions_workflowversion AS version,
       regexp_matches(version.document::text, '"(sha256:[0-9a-f]{64})"', 'g') AS found (digest)
 WHERE version.tenant_id = %s
"""


def artifacts_in_versions() -> list[str]:
    """Every digest that a commit or snapshot of the tenant in force names."""
    with scope.transaction(), connection.cursor() as cursor:
        cursor.execute(_DIGESTS, [scope.current_tenant_id()])
        return [digest for (digest,) in cursor.fetchall()]
