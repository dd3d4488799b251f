"""Whether a release fits this platform: its version, its node types, their libraries."""

from __future__ import annotations

from apps.marketplace import semver
from apps.marketplace.errors import Obstacle
from apps.marketplace.requirements import Catalogue, NodeTypeNeed, Requirements
from apps.workflows.graph import catalogue as node_types

PLATFORM_VERSION = "0.1.0"
"""The version of this platform, as pyproject.toml names it; releases say which they work with."""


def obstacles(requirements: Requirements, catalogue: Catalogue) -> tuple[Obstacle, ...]:
    """Everything that keeps a release from working here."""
    found = []
    if not fits_platform(requirements.platform):
        found.append(
            Obstacle(
                kind="PLATFORM",
                message=f"It needs a platform of {requirements.platform}; this is "
                f"{PLATFORM_VERSION}.",
            )
        )
    for need in requirements.node_types:
        problem = _missing(need, catalogue)
        if problem:
            found.append(Obstacle(kind="NODE_TYPE", message=problem))
    found += [
        Obstacle(
            kind="DEPENDENCY",
            message=f"It depends on {one['slug']}, which cannot be resolved yet.",
            blocking=not one.get("optional", False),
        )
        for one in requirements.dependencies
    ]
    return tuple(found)


def is_available(need: NodeTypeNeed, catalogue: Catalogue) -> bool:
    """Whether this installation can run the node type."""
    return _missing(need, catalogue) is None


def fits_platform(wanted: str) -> bool:
    """Whether this platform's version lies in a range; an unreadable range does not fit."""
    try:
        return semver.satisfies(PLATFORM_VERSION, wanted)
    except semver.InvalidRange:
        return False


def _missing(need: NodeTypeNeed, catalogue: Catalogue) -> str | None:
    known = catalogue.get(need.type, need.version_range.removeprefix("^"))
    if known is None:
        return f"The node type {need.type} {need.version_range} is not installed here."
    extra = node_types.missing_extra(known)
    if extra is not None:
        return f"The node type {need.type} needs the extra {extra!r}, which is not installed here."
    return None
