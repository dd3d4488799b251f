"""What a release requires, as the API shows it."""

from __future__ import annotations

import strawberry
from strawberry.scalars import JSON

from apps.kit.graphql.fields import field
from apps.kit.graphql.scalars import SemVer, SemVerRange
from apps.marketplace.graphql.facts import (
    ConnectionRequirement,
    NodeTypeRequirement,
    PermissionRequirement,
    resources_of,
)
from apps.marketplace.requirements import Requirements as Needs
from apps.workflows.graphql.document_types import ResourceRequirements


@strawberry.type
class DependencyRequirement:
    """Another listing that a release builds on."""

    slug: str
    version_range: SemVerRange
    resolved: SemVer | None
    optional: bool


@strawberry.type
class Requirements:
    """Everything an installer should know before saying yes."""

    needs: strawberry.Private[Needs]
    platform: SemVerRange
    resources: ResourceRequirements
    parameters: JSON = strawberry.field(
        description="JSON Schema of what may be overridden, with the defaults in it."
    )

    @field()
    def node_types(self) -> list[NodeTypeRequirement]:
        """The node types it uses."""
        return [NodeTypeRequirement.of(need) for need in self.needs.node_types]

    @field()
    def dependencies(self) -> list[DependencyRequirement]:
        """Other listings it builds on; releases with dependencies cannot be published yet."""
        return []

    @field()
    def connections(self) -> list[ConnectionRequirement]:
        """The credential slots."""
        return [ConnectionRequirement.of(slot) for slot in self.needs.slots]

    @field()
    def permissions(self) -> list[PermissionRequirement]:
        """What whoever installs must agree to."""
        return [PermissionRequirement.of(one) for one in self.needs.permissions]

    @classmethod
    def of(cls, needs: Needs) -> Requirements:
        """The requirements as this type."""
        return cls(
            needs=needs,
            platform=SemVerRange(needs.platform),
            resources=resources_of(needs.resources),
            parameters=JSON(dict(needs.parameters)),
        )
