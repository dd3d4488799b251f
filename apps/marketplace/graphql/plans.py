"""Before and at an install: what the caller chooses, what it would do, what it did."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import strawberry
from strawberry.scalars import JSON

from apps.kit.errors import NotFound, Refusal
from apps.kit.graphql.fields import field
from apps.kit.graphql.money import Money
from apps.kit.graphql.mutations import Payload
from apps.kit.graphql.nodes import key_of
from apps.kit.graphql.scalars import URL, SemVer
from apps.marketplace.graphql.facts import (
    CompatibilityInfo,
    ConnectionRequirement,
    PermissionRequirement,
)
from apps.marketplace.graphql.installing import Installation
from apps.marketplace.graphql.needs import DependencyRequirement, Requirements
from apps.marketplace.planning import Choices, Plan
from apps.marketplace.terms import Channel, PricingModel, UpdatePolicy
from apps.versions.graphql.approvals import ApprovalRequest
from apps.workflows.graphql.types import Workflow


@strawberry.type
class InstallPlan:
    """What an install would do."""

    version: SemVer
    compatibility: CompatibilityInfo
    price: Money | None
    requirements: Requirements
    missing_variables: list[str] = strawberry.field(
        description="Variables the workflow reads and nobody has set in the environment."
    )
    plan: strawberry.Private[Plan]

    @field()
    def resolved_dependencies(self) -> list[DependencyRequirement]:
        """None yet."""
        return []

    @field()
    def missing_connections(self) -> list[ConnectionRequirement]:
        """Slots that are neither bound nor filled by a secret of the environment."""
        return [ConnectionRequirement.of(slot) for slot in self.plan.missing_slots]

    @field()
    def permissions(self) -> list[PermissionRequirement]:
        """What must be accepted."""
        return [PermissionRequirement.of(one) for one in self.plan.permissions]

    @classmethod
    def of(cls, plan: Plan) -> InstallPlan:
        """The plan as this type."""
        listing = plan.listing
        free = listing.pricing_model in {PricingModel.FREE, PricingModel.CONTACT}
        return cls(
            version=SemVer(plan.release.version),
            compatibility=CompatibilityInfo.judged(
                plan.obstacles, platform_range=plan.requirements.platform
            ),
            price=None if free else Money.of(listing.price_minor, listing.currency),
            requirements=Requirements.of(plan.requirements),
            missing_variables=list(plan.missing_variables),
            plan=plan,
        )


@strawberry.type
class InstallationResult(Payload):
    """The installation, or the plan of one."""

    installation: Installation | None = None
    workflow: Workflow | None = None
    plan: InstallPlan | None = strawberry.field(
        default=None, description="Set when nothing was written: what an install would do."
    )
    checkout_url: URL | None = None
    approval: ApprovalRequest | None = None


@strawberry.input
class ConnectionBindingInput:
    """Which connection fills a slot."""

    slot: str
    connection_id: strawberry.ID


@strawberry.input
class ConfigurationOverrides:
    """What an installer chooses."""

    parameters: JSON | None = None
    connection_bindings: list[ConnectionBindingInput] | None = None
    resources: JSON | None = None
    named_environment_id: strawberry.ID | None = None
    update_policy: UpdatePolicy | None = UpdatePolicy.NOTIFY
    workflow_name: str | None = None
    accept_license: bool | None = False
    accepted_permissions: list[str] | None = None
    plan_id: strawberry.ID | None = None
    version: SemVer | None = None
    channel: Channel | None = Channel.STABLE

    def choices(self) -> Choices:
        """The choices as the action takes them. Raises NotFound for an id that is none."""
        path = ("configuration",)
        if self.plan_id is not None:
            # No listing has plans yet: whatever id this is, there is none of it.
            raise NotFound.of("plan", path=(*path, "planId"))
        named = self.named_environment_id
        return Choices(
            parameters=_object(self.parameters, "parameters"),
            bindings={
                one.slot: key_of(
                    one.connection_id, "Connection", path=(*path, "connectionBindings")
                )
                for one in self.connection_bindings or []
            },
            resources=_object(self.resources, "resources"),
            environment_id=key_of(
                named, "DeploymentEnvironment", noun="environment",
                path=(*path, "namedEnvironmentId"),
            ) if named else None,
            update_policy=self.update_policy or UpdatePolicy.NOTIFY,
            workflow_name=self.workflow_name,
            accept_license=bool(self.accept_license),
            accepted_permissions=frozenset(self.accepted_permissions or []),
            version=self.version,
            channel=self.channel or Channel.STABLE,
        )  # fmt: skip


def _object(value: Any, name: str) -> Mapping[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise Refusal("Give an object of names and values.", path=("configuration", name))
    return value
