"""The marketplace's closed sets under the API's names."""

from __future__ import annotations

from enum import StrEnum

import strawberry

from apps.marketplace import facets, search, terms

strawberry.enum(terms.Category, name="WorkflowCategory")
strawberry.enum(terms.Visibility, name="ListingVisibility")
strawberry.enum(terms.ListingStatus, name="ListingStatus")
strawberry.enum(terms.Channel, name="ReleaseChannel")
strawberry.enum(terms.ReleaseStatus, name="VersionStatus")
strawberry.enum(terms.PricingModel, name="PricingModel")
strawberry.enum(terms.InstallationStatus, name="InstallationStatus")
strawberry.enum(terms.UpdatePolicy, name="UpdatePolicy")
strawberry.enum(terms.Verification, name="VerificationLevel")
strawberry.enum(search.Sort, name="SortOption")
strawberry.enum(search.Registry, name="RegistryScope")
strawberry.enum(facets.FacetName, name="FacetName")
strawberry.enum(facets.SuggestionKind, name="SuggestionKind")


@strawberry.enum
class BillingInterval(StrEnum):
    """How often a subscription is paid."""

    MONTH = "MONTH"
    YEAR = "YEAR"


@strawberry.enum
class CompatibilityIssueKind(StrEnum):
    """What does not fit."""

    PLATFORM = "PLATFORM"
    NODE_TYPE = "NODE_TYPE"
    DEPENDENCY = "DEPENDENCY"
    CONNECTION = "CONNECTION"
    RESOURCE = "RESOURCE"
    PLAN = "PLAN"
    REGION = "REGION"


@strawberry.enum
class MediaKind(StrEnum):
    """What a picture on the shelf is."""

    IMAGE = "IMAGE"
    VIDEO = "VIDEO"
    DEMO_RUN = "DEMO_RUN"


@strawberry.enum
class ReviewStatus(StrEnum):
    """The life of a review."""

    PENDING = "PENDING"
    PUBLISHED = "PUBLISHED"
    HIDDEN = "HIDDEN"
    REMOVED = "REMOVED"


@strawberry.enum
class ReviewSort(StrEnum):
    """The order of reviews."""

    HELPFUL = "HELPFUL"
    NEWEST = "NEWEST"
    RATING_DESC = "RATING_DESC"
    RATING_ASC = "RATING_ASC"


@strawberry.enum
class TrendWindow(StrEnum):
    """Over which time a trend is read."""

    DAY = "DAY"
    WEEK = "WEEK"
    MONTH = "MONTH"
