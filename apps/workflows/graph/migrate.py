"""How documents of older schema versions become documents of this one, whenever they are read."""

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from apps.workflows.graph.issues import DocumentInvalid, Issue
from apps.workflows.graph.shape import SCHEMA_VERSION

Step: TypeAlias = Callable[[dict[str, Any]], dict[str, Any]]

STEPS: Mapping[int, Step] = {}
"""The pure step away from each older version: `{1: one_to_two}` the day version 2 exists."""


def to_current(
    raw: dict[str, Any], *, steps: Mapping[int, Step] = STEPS, current: int = SCHEMA_VERSION
) -> dict[str, Any]:
    """The document in today's shape; without `schemaVersion` it is today's already."""
    version = raw.get("schemaVersion", current)
    while type(version) is int and version in steps and version != current:
        raw = {**steps[version](raw), "schemaVersion": version + 1}
        version += 1
    if version != current or type(version) is not int:
        message = (
            f"This server reads schemaVersion 1 to {current}, not {version!r}. "
            f"Write schemaVersion {current} or update the server."
        )
        raise DocumentInvalid(
            [Issue(code="SCHEMA_VERSION_UNKNOWN", message=message, path=("schemaVersion",))]
        )
    return {**raw, "schemaVersion": current}
