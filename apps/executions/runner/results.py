"""The step cache in the database: one statement each way, and no failure of its own."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from typing import Any, Final, NamedTuple
from uuid import UUID

from django.db import Error, connection

from apps.executions.models import MOST_RESULTS
from apps.executions.runner.doors import CachedOutputs
from apps.executions.runner.inside import inside

logger = logging.getLogger(__name__)

MOST_BYTES: Final = 64 * 1024
"""Of one entry: what is larger is an artifact, or not worth it."""
_FIND: Final = "SELECT digest, outputs FROM engine_cached_4(%s, %s, %s, %s::text[])"
_KEEP: Final = "SELECT engine_cache_4(%s, %s, %s, %s::jsonb, %s, %s)"


class Results(NamedTuple):
    """One tenant's results, for one environment."""

    tenant_id: UUID
    environment_id: UUID

    def find(self, digest: bytes, *, secrets: frozenset[str]) -> CachedOutputs | None:
        """What is kept; None when the cache does not answer."""
        try:
            with inside(self.tenant_id), connection.cursor() as cursor:
                cursor.execute(
                    _FIND, [self.tenant_id, self.environment_id, digest, sorted(secrets)]
                )
                row = cursor.fetchone()
        except Error as error:
            logger.warning("the step cache does not answer: %s", error)
            return None
        if row is None or row[0] is None:
            return None
        kept = None if row[1] is None else json.loads(row[1])
        return CachedOutputs(digest=bytes(row[0]), outputs=kept)

    def keep(
        self, digest: bytes, outputs: Mapping[str, Any], *, node_type: str, seconds: int
    ) -> None:
        """Remember a result; what cannot be kept is made again."""
        text = json.dumps(outputs)
        if len(text) > MOST_BYTES:
            return
        given: list[Any] = [self.tenant_id, digest, node_type, text, seconds, MOST_RESULTS]
        try:
            with inside(self.tenant_id), connection.cursor() as cursor:
                cursor.execute(_KEEP, given)
        except Error as error:
            logger.warning("a result was not cached: %s", error)
