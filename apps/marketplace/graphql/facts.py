"""Values of listings and releases: licence, price, requirements, compatibility."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Any

import strawberry
from strawberry.scalars import JSON

from apps.kit.graphql.money import Money
from apps.kit.graphql.scalars import URL, BigInt, Markdown, SemVer, SemVerRange
from apps.marketplace import compatibility, licenses, models
from apps.marketplace.errors import Obstacle
from apps.marketplace.graphql.terms import BillingInterval, CompatibilityIssueKind, MediaKind
from apps.marketplace.requirements import NodeTypeNeed, Permission, Requirements, Slot
from apps.marketplace.terms import PricingModel, Risk, Verification
from apps.workflows.graph import catalogue
from apps.workflows.graphql.document_types import ResourceRequirements

REFUND_DAYS = 14


@strawberry.type
class ListingMedia:
    """A picture on the shelf."""

    kind: MediaKind
    url: URL
    alt: str
    width: int | None
    height: int | None


@strawberry.type
class License:
    """What one may do with the workflow."""

    spdx_id: str | None
    name: str
    text: Markdown | None
    is_osi_approved: bool
    requires_acceptance: bool

    @classmethod
    def of(cls, text: str) -> License:
        """The licence of an SPDX id; one that is not known must be accepted."""
        known = licenses.find(text)
        return cls(
            spdx_id=known.id if known and known.id != "Proprietary" else None,
            name=known.name if known else text,
            text=None,
            is_osi_approved=known is not None and known.is_osi_approved,
            requires_acceptance=known is None or known.requires_acceptance,
        )


@strawberry.type
class PublisherVerification:
    """How well a publisher is known to the platform."""

    level: Verification
    verified_domains: list[str]
    verified_at: dt.datetime | None


@strawberry.type
class UsageTier:
    """A price for the first so many."""

    up_to: BigInt | None
    unit_price: Money


@strawberry.type
class PricingPlan:
    """One way to pay."""

    id: strawberry.ID
    name: str
    model: PricingModel
    price: Money | None
    interval: BillingInterval | None
    features: list[str]
    is_default: bool


@strawberry.type
class Pricing:
    """What using a listing costs."""

    model: PricingModel
    price: Money | None
    interval: BillingInterval | None
    usage_metric: str | None
    usage_tiers: list[UsageTier]
    trial_days: int | None
    refund_window_days: int
    tax_inclusive: bool
    plans: list[PricingPlan]

    @classmethod
    def of(cls, listing: models.Listing) -> Pricing:
        """The price of a listing."""
        model = PricingModel(listing.pricing_model)
        priced = model not in {PricingModel.FREE, PricingModel.CONTACT}
        return cls(
            model=model,
            price=Money.of(listing.price_minor, listing.currency) if priced else None,
            interval=BillingInterval(listing.interval) if listing.interval else None,
            usage_metric=listing.usage_metric or None,
            usage_tiers=[],
            trial_days=listing.trial_days,
            refund_window_days=REFUND_DAYS if priced else 0,
            tax_inclusive=False,
            plans=[],
        )


@strawberry.type
class NodeTypeRequirement:
    """A node type a release uses."""

    type: str
    version_range: SemVerRange
    available: bool

    @classmethod
    def of(cls, need: NodeTypeNeed) -> NodeTypeRequirement:
        """With whether this installation has it."""
        return cls(
            type=need.type,
            version_range=SemVerRange(need.version_range),
            available=compatibility.is_available(need, catalogue.INSTALLED),
        )


@strawberry.type(description="A credential slot. The package carries the slot, never the secret.")
class ConnectionRequirement:
    """What must be bound or set before the workflow can run."""

    slot: str
    connector_type: str
    scopes: list[str]
    optional: bool
    description: str | None

    @classmethod
    def of(cls, slot: Slot) -> ConnectionRequirement:
        """The slot as this type."""
        return cls(
            slot=slot.slot,
            connector_type=slot.connector_type,
            scopes=list(slot.scopes),
            optional=slot.optional,
            description=slot.description or None,
        )


@strawberry.type
class PermissionRequirement:
    """Something the workflow may do that whoever installs it must agree to."""

    key: str
    reason: str
    risk: Risk

    @classmethod
    def of(cls, permission: Permission) -> PermissionRequirement:
        """The permission as this type."""
        return cls(key=permission.key, reason=permission.reason, risk=permission.risk)


@strawberry.type
class CompatibilityIssue:
    """One thing that does not fit."""

    kind: CompatibilityIssueKind
    message: str
    blocking: bool

    @classmethod
    def of(cls, obstacle: Obstacle) -> CompatibilityIssue:
        """The obstacle as this type."""
        return cls(
            kind=CompatibilityIssueKind(obstacle.kind),
            message=obstacle.message,
            blocking=obstacle.blocking,
        )


@strawberry.type
class CompatibilityInfo:
    """Whether a release works on this platform."""

    compatible: bool
    platform_range: SemVerRange
    platform_version: SemVer
    issues: list[CompatibilityIssue]
    tested_on: list[SemVer]

    @classmethod
    def of(cls, requirements: Requirements) -> CompatibilityInfo:
        """Judged here and now."""
        found = compatibility.obstacles(requirements, catalogue.INSTALLED)
        return cls.judged(found, platform_range=requirements.platform)

    @classmethod
    def judged(cls, found: tuple[Obstacle, ...], *, platform_range: str) -> CompatibilityInfo:
        """From obstacles that are known already."""
        return cls(
            compatible=not any(one.blocking for one in found),
            platform_range=SemVerRange(platform_range),
            platform_version=SemVer(compatibility.PLATFORM_VERSION),
            issues=[CompatibilityIssue.of(one) for one in found],
            tested_on=[],
        )


@strawberry.type
class YankInfo:
    """Why a release was withdrawn."""

    reason: str
    at: dt.datetime
    severity: Risk
    advisory_url: URL | None = None


@strawberry.type
class MigrationStep:
    """One step from an older release's parameters to this one's."""

    op: str
    path: str
    from_: str | None = strawberry.field(name="from")
    value: JSON | None
    description: str


@strawberry.type
class MigrationPlan:
    """How an installation of an older release becomes one of this."""

    from_range: SemVerRange
    steps: list[MigrationStep]
    automatic: bool
    notes: Markdown | None


def resources_of(resources: Mapping[str, Any]) -> ResourceRequirements:
    """The document's resources as stored in a release."""
    return ResourceRequirements(
        cpu=resources.get("cpu"),
        memory=resources.get("memory"),
        gpu=resources.get("gpu"),
        pool=resources.get("pool"),
        priority=resources.get("priority"),
        timeout_seconds=resources.get("timeoutSeconds"),
        max_concurrency=resources.get("maxConcurrency"),
    )
