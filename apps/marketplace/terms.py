"""The closed sets of the marketplace: what a listing, a release and an installation can be."""

from __future__ import annotations

from enum import StrEnum

from apps.security_scan.scanner import Severity as Risk


class Category(StrEnum):
    """What a listing is for."""

    RAG = "RAG"
    AGENTIC = "AGENTIC"
    MACHINE_LEARNING = "MACHINE_LEARNING"
    DATA_PIPELINE = "DATA_PIPELINE"
    INTEGRATION = "INTEGRATION"
    MONITORING = "MONITORING"
    INDUSTRY_TEMPLATE = "INDUSTRY_TEMPLATE"
    OTHER = "OTHER"


class Visibility(StrEnum):
    """Who may find and open a listing: everybody, who has the link, the publisher's members."""

    PUBLIC = "PUBLIC"
    UNLISTED = "UNLISTED"
    PRIVATE = "PRIVATE"


class ListingStatus(StrEnum):
    """The life of a listing."""

    DRAFT = "DRAFT"
    IN_REVIEW = "IN_REVIEW"
    PUBLISHED = "PUBLISHED"
    DEPRECATED = "DEPRECATED"
    SUSPENDED = "SUSPENDED"
    REMOVED = "REMOVED"


class Channel(StrEnum):
    """How ripe a release is said to be."""

    STABLE = "STABLE"
    BETA = "BETA"
    CANARY = "CANARY"


class ReleaseStatus(StrEnum):
    """The life of a release. PUBLISHED may be installed; YANKED stays with those who have it."""

    UPLOADED = "UPLOADED"
    SCANNING = "SCANNING"
    AWAITING_APPROVAL = "AWAITING_APPROVAL"
    REJECTED = "REJECTED"
    PUBLISHED = "PUBLISHED"
    YANKED = "YANKED"
    REVOKED = "REVOKED"


class PricingModel(StrEnum):
    """How a listing is paid for."""

    FREE = "FREE"
    ONE_TIME = "ONE_TIME"
    SUBSCRIPTION = "SUBSCRIPTION"
    USAGE = "USAGE"
    CONTACT = "CONTACT"


class InstallationStatus(StrEnum):
    """The life of an installation."""

    PENDING_APPROVAL = "PENDING_APPROVAL"
    PENDING_PAYMENT = "PENDING_PAYMENT"
    INSTALLING = "INSTALLING"
    ACTIVE = "ACTIVE"
    FAILED = "FAILED"
    UPGRADING = "UPGRADING"
    SUSPENDED = "SUSPENDED"
    UNINSTALLED = "UNINSTALLED"


class UpdatePolicy(StrEnum):
    """What happens when a newer release appears."""

    MANUAL = "MANUAL"
    NOTIFY = "NOTIFY"
    AUTO_PATCH = "AUTO_PATCH"
    AUTO_MINOR = "AUTO_MINOR"


class Verification(StrEnum):
    """How well a publisher is known to the platform."""

    NONE = "NONE"
    EMAIL = "EMAIL"
    DOMAIN = "DOMAIN"
    ORGANIZATION = "ORGANIZATION"
    PLATFORM = "PLATFORM"


__all__ = [
    "Category",
    "Channel",
    "InstallationStatus",
    "ListingStatus",
    "PricingModel",
    "ReleaseStatus",
    "Risk",
    "UpdatePolicy",
    "Verification",
    "Visibility",
]
