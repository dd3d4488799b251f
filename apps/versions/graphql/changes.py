"""Differences between documents as the API shows them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import strawberry
from strawberry.scalars import JSON

from apps.kit.graphql.scalars import SemVer
from apps.versions import comparison
from apps.workflows.graph.difference import Bump, ChangeKind, Changes

strawberry.enum(ChangeKind, name="ChangeKind")


@strawberry.type
class FieldChange:
    """One field by dotted path; null stands for a field that is not there."""

    path: str
    before: JSON | None
    after: JSON | None

    @classmethod
    def of(cls, kept: Mapping[str, Any]) -> FieldChange:
        """From the JSON that a version keeps."""
        return cls(path=kept["path"], before=_json(kept["before"]), after=_json(kept["after"]))


@strawberry.type
class NodeChange:
    """One node that is not what or where it was."""

    node_id: str
    name: str
    type: str
    kind: ChangeKind
    fields: list[FieldChange]

    @classmethod
    def of(cls, kept: Mapping[str, Any]) -> NodeChange:
        """From the JSON that a version keeps."""
        return cls(
            node_id=kept["nodeId"],
            name=kept["name"],
            type=kept["type"],
            kind=ChangeKind(kept["kind"]),
            fields=[FieldChange.of(one) for one in kept["fields"]],
        )


@strawberry.type
class GraphChanges:
    """Added, modified and removed nodes; a node drawn elsewhere is MODIFIED with kind MOVED."""

    added: list[NodeChange]
    modified: list[NodeChange]
    removed: list[NodeChange]
    connections_added: int
    connections_removed: int

    @classmethod
    def of(cls, kept: Mapping[str, Any]) -> GraphChanges:
        """From the JSON that a version keeps."""
        return cls(
            added=[NodeChange.of(one) for one in kept.get("added", ())],
            modified=[NodeChange.of(one) for one in kept.get("modified", ())],
            removed=[NodeChange.of(one) for one in kept.get("removed", ())],
            connections_added=kept.get("connectionsAdded", 0),
            connections_removed=kept.get("connectionsRemoved", 0),
        )


@strawberry.type
class ParameterChange:
    """One run parameter."""

    name: str
    kind: ChangeKind
    before: JSON | None
    after: JSON | None
    breaking: bool


@strawberry.type
class VersionDiff:
    """Everything between two versions."""

    from_: SemVer = strawberry.field(name="from")
    to: SemVer
    changes: GraphChanges
    parameter_changes: list[ParameterChange]
    settings: list[FieldChange] = strawberry.field(description="Other fields of the document.")
    behavior: bool = strawberry.field(description="False when only drawing and notes differ.")
    breaking: bool
    summary: str

    @classmethod
    def of(cls, changes: Changes, *, before: str, after: str) -> VersionDiff:
        """The difference between the versions of these numbers."""
        kept = comparison.to_json(changes)
        return cls(
            from_=SemVer(before),
            to=SemVer(after),
            changes=GraphChanges.of(kept),
            parameter_changes=[
                ParameterChange(
                    name=one.name,
                    kind=one.kind,
                    before=_json(one.before),
                    after=_json(one.after),
                    breaking=one.breaking,
                )
                for one in changes.parameters
            ],
            settings=[FieldChange.of(one) for one in kept["settings"]],
            behavior=changes.behavior,
            breaking=changes.bump is Bump.MAJOR,
            summary=comparison.summary(changes),
        )


def _json(value: Any) -> JSON | None:
    return None if value is None else JSON(value)
