"""Ids of steps: a run and a place in it, for steps have no rows."""

from __future__ import annotations

import uuid
from contextlib import suppress

from apps.kit.errors import NotFound
from apps.kit.graphql.nodes import split_id


def node_run_key(value: str) -> tuple[uuid.UUID, str]:
    """Run and path behind a NodeRun's id. Raises NotFound in the words that a foreign id gets."""
    name, key = split_id(value) or ("", "")
    run, slash, path = key.partition("/")
    if name == "NodeRun" and slash:
        with suppress(ValueError):
            return uuid.UUID(run), path
    raise NotFound.of("execution", path=("nodeRunId",))
