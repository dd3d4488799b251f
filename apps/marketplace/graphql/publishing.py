"""Inputs and payload of `publishWorkflow`, and of the other writes to listings."""

from __future__ import annotations

import strawberry
from strawberry.scalars import JSON

from apps.kit.errors import ErrorCode, Refusal
from apps.kit.graphql.money import MoneyInput
from apps.kit.graphql.mutations import Payload
from apps.kit.graphql.nodes import key_of
from apps.kit.graphql.scalars import URL, Markdown, SemVer, SemVerRange, WorkflowDocument
from apps.marketplace.graphql.listings import MarketplaceWorkflow
from apps.marketplace.graphql.releases import ListingVersion
from apps.marketplace.graphql.terms import BillingInterval
from apps.marketplace.sources import Source
from apps.marketplace.submission import Pricing, Submission
from apps.marketplace.terms import Category, Channel, PricingModel, Visibility
from apps.security_scan.graphql.types import SecurityScanResult, SignatureScheme
from apps.versions.graphql.approvals import ApprovalRequest
from apps.workflows.graphql.reports import ValidationIssue


@strawberry.input(one_of=True, description="Exactly one of the members.")
class WorkflowInput:
    """What is published."""

    workflow_version_id: strawberry.ID | None = strawberry.UNSET
    document: WorkflowDocument | None = strawberry.UNSET
    package_upload_id: strawberry.ID | None = strawberry.UNSET

    def source(self) -> Source:
        """Where the document comes from. Raises a Refusal for what cannot be read yet."""
        if self.package_upload_id:
            raise _later("workflow", "packageUploadId")
        if self.workflow_version_id:
            return Source(
                version_id=key_of(
                    self.workflow_version_id,
                    "WorkflowVersion",
                    noun="version",
                    path=("workflow", "workflowVersionId"),
                )
            )
        return Source(document=self.document or None)


@strawberry.input
class PricingInput:
    """What using it shall cost."""

    model: PricingModel
    price: MoneyInput | None = None
    interval: BillingInterval | None = None
    trial_days: int | None = None
    usage_metric: str | None = None

    def pricing(self) -> Pricing:
        """The price as the action takes it."""
        if self.trial_days is not None and not 0 <= self.trial_days <= 90:
            raise Refusal("A trial lasts 0 to 90 days.", path=("metadata", "pricing", "trialDays"))
        return Pricing(
            model=self.model,
            price_minor=self.price.amount_minor if self.price else 0,
            currency=_currency(self.price.currency) if self.price else "USD",
            interval=self.interval.value if self.interval else "",
            trial_days=self.trial_days,
            usage_metric=(self.usage_metric or "")[:40],
        )


@strawberry.input
class DependencyInput:
    """Another listing it builds on."""

    slug: str
    version_range: SemVerRange
    optional: bool | None = False


@strawberry.input
class SignatureInput:
    """A signature over the package."""

    scheme: SignatureScheme
    key_id: str | None = None
    signature: str
    bundle: JSON | None = None


@strawberry.input
class PublishMetadata:
    """What the publisher says about a release."""

    listing_id: strawberry.ID | None = None
    publisher_id: strawberry.ID | None = None
    name: str
    tagline: str | None = None
    description: str
    category: Category
    tags: list[str] | None = None
    version: SemVer
    channel: Channel | None = Channel.STABLE
    visibility: Visibility | None = Visibility.PUBLIC
    changelog: Markdown
    license: str
    documentation: Markdown
    screenshot_upload_ids: list[strawberry.ID] | None = None
    pricing: PricingInput | None = None
    platform: SemVerRange
    dependencies: list[DependencyInput] | None = None
    migrations: list[JSON] | None = None
    signature: SignatureInput | None = None
    source_repository: URL | None = None
    source_commit: str | None = None
    validate_only: bool | None = False

    def submission(self) -> Submission:
        """The metadata as the action takes it; what is not built yet is refused, not dropped."""
        for name, value in (
            ("screenshotUploadIds", self.screenshot_upload_ids),
            ("dependencies", self.dependencies),
            ("migrations", self.migrations),
            ("signature", self.signature),
        ):
            if value:
                raise _later("metadata", name)
        path = ("metadata", "listingId")
        return Submission(
            name=self.name,
            description=self.description,
            category=self.category,
            version=self.version,
            changelog=self.changelog,
            license=self.license,
            documentation=self.documentation,
            platform=self.platform,
            listing_id=key_of(self.listing_id, "MarketplaceWorkflow", noun="listing", path=path)
            if self.listing_id
            else None,
            publisher_id=key_of(
                self.publisher_id, "Author", noun="publisher", path=("metadata", "publisherId")
            )
            if self.publisher_id
            else None,
            tagline=self.tagline or "",
            tags=tuple(self.tags or []),
            channel=self.channel or Channel.STABLE,
            visibility=self.visibility or Visibility.PUBLIC,
            pricing=self.pricing.pricing() if self.pricing else Pricing(),
            source_repository=self.source_repository or "",
            source_commit=self.source_commit or "",
        )


@strawberry.type
class PublishResult(Payload):
    """The release that was handed in; scan and approval follow by themselves."""

    listing: MarketplaceWorkflow | None = None
    version: ListingVersion | None = None
    approval: ApprovalRequest | None = None
    scan: SecurityScanResult | None = None
    warnings: list[ValidationIssue] = strawberry.field(default_factory=list)


@strawberry.type
class ListingVersionPayload(Payload):
    """The release as it is now."""

    version: ListingVersion | None = None


def _currency(text: str) -> str:
    if len(text) != 3 or not text.isascii() or not text.isalpha():
        raise Refusal(
            "Write the currency as three letters (ISO 4217).",
            path=("metadata", "pricing", "price", "currency"),
        )
    return text.upper()


def _later(*path: str) -> Refusal:
    return Refusal("This is not available yet. Leave it out.", code=ErrorCode.INVALID, path=path)
