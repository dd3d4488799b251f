"""How the API shows the marketplace's refusals that carry data."""

from __future__ import annotations

import strawberry
from django.conf import settings

from apps.kit.clock import now
from apps.kit.graphql.errors import UserError, register_error
from apps.kit.graphql.scalars import URL
from apps.marketplace.errors import Incompatible, PaymentRequired, ScanRefused
from apps.marketplace.graphql.facts import CompatibilityInfo, Pricing
from apps.security_scan.graphql.types import Provenance, SecurityScanResult
from apps.security_scan.summaries import Summary


@strawberry.type
class SecurityScanError(UserError):
    """The scan found what may not be published."""

    scan: SecurityScanResult


@strawberry.type
class CompatibilityError(UserError):
    """The release does not fit here."""

    compatibility: CompatibilityInfo


@strawberry.type
class PaymentRequiredError(UserError):
    """The listing must be paid for first."""

    pricing: Pricing
    checkout_url: URL


register_error(
    ScanRefused,
    lambda refusal, shown: SecurityScanError(
        **shown,
        scan=SecurityScanResult.of(
            Summary.of_report(refusal.report, at=now()), provenance=Provenance(digest="")
        ),
    ),
    SecurityScanError,
)
register_error(
    Incompatible,
    lambda refusal, shown: CompatibilityError(
        **shown,
        compatibility=CompatibilityInfo.judged(
            refusal.obstacles, platform_range=refusal.platform_range
        ),
    ),
    CompatibilityError,
)
register_error(
    PaymentRequired,
    lambda refusal, shown: PaymentRequiredError(
        **shown,
        pricing=Pricing.of(refusal.listing),
        checkout_url=URL(f"{settings.PUBLIC_URL}/marketplace/"),
    ),
    PaymentRequiredError,
)
