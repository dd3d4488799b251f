"""What only PostgreSQL can answer well: what the texts of all drafts refer to."""

from __future__ import annotations

import uuid
from collections import defaultdict

from django.db import connection

from apps.tenancy import scope

_REFERENCES = r"""
SELECT DISTINCT workflow.id, found.name[1]
  FROM workflows_workflow AS workflow,
       regexp_matches(workflow.draft_document::text,
                      '\{\{\s*secrets\.([A-Za-z_][A-Za-z0-9_]*)\s*\}\}', 'g') AS found (name)
 WHERE workflow.tenant_id = %s AND workflow.archived_at IS NULL
 ORDER BY workflow.id
"""


def users_of_secrets() -> dict[str, list[uuid.UUID]]:
    """The living workflows whose draft refers to each secret, by the secret's name."""
    users: dict[str, list[uuid.UUID]] = defaultdict(list)
    with connection.cursor() as cursor:
        cursor.execute(_REFERENCES, [scope.current_tenant_id()])
        for workflow_id, name in cursor.fetchall():
            users[name].append(workflow_id)
    return users


_DIGESTS = r"""
SELECT DISTINCT found.digest[1]
  FROM workflows_workflow AS workflow,
       regexp_matches(workflow.draft_document::text,
                      '"(sha256:[0-9a-f]{64})"', 'g') AS found (digest)
 WHERE workflow.tenant_id = %s
"""


def artifacts_in_drafts() -> list[str]:
    """Every digest that a draft of the tenant in force names, archived ones too."""
    with scope.transaction(), connection.cursor() as cursor:
        cursor.execute(_DIGESTS, [scope.current_tenant_id()])
        return [digest for (digest,) in cursor.fetchall()]
