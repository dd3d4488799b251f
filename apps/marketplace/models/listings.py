"""Publishers and their listings: rows of the publisher's organization, public once published."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar, Self

from django.contrib.postgres.fields import ArrayField
from django.db import models

from apps.kit.clock import now
from apps.marketplace.terms import (
    Category,
    ListingStatus,
    PricingModel,
    Verification,
    Visibility,
)
from apps.tenancy.constraints import TenantForeignKeyConstraint
from apps.tenancy.managers import TenantManager
from apps.tenancy.models import TenantModel, tenant_constraints


def choices(kind: type[Any]) -> list[tuple[str, str]]:
    """A StrEnum as Django's choices."""
    return [(one.value, one.value) for one in kind]


PUBLIC = models.Q(is_public=True)


class Publisher(TenantModel):
    """An organization as the marketplace shows it. Its handle is global by nature."""

    handle = models.CharField(max_length=40)
    name = models.CharField(max_length=120)
    website_url = models.URLField(blank=True)
    bio = models.TextField(blank=True)
    verification = models.CharField(
        max_length=12, choices=choices(Verification), default=Verification.NONE.value
    )
    verified_at = models.DateTimeField(null=True)
    joined_at = models.DateTimeField(default=now, editable=False)
    is_public = models.BooleanField(default=False, help_text="Has published something public.")

    objects: ClassVar[TenantManager[Self]] = TenantManager(platform=True, public=PUBLIC)

    class Meta(TenantModel.Meta):
        constraints: ClassVar[list[Any]] = [
            *tenant_constraints("publisher"),
            models.UniqueConstraint(fields=["tenant"], name="publisher_of_tenant_key"),
        ]

    def __str__(self) -> str:
        return self.handle


class ListingQuerySet(models.QuerySet["Listing"]):
    """Questions about listings."""

    def by_slug(self, publisher: str, slug: str) -> Self:
        """The listing at `publisher/slug`."""
        return self.filter(publisher__handle=publisher, slug=slug)

    def shown(self) -> Self:
        """Those the marketplace shows to whoever may see the row."""
        return self.filter(status__in=[ListingStatus.PUBLISHED, ListingStatus.DEPRECATED])

    def of_publisher(self, publisher: Publisher) -> Self:
        """What a publisher shows, newest first."""
        return self.of_publishers([publisher])

    def of_publishers(self, publishers: Iterable[Publisher]) -> Self:
        """What several publishers show."""
        keys = [one.pk for one in publishers]
        return self.shown().filter(publisher_id__in=keys).exclude(visibility=Visibility.UNLISTED)


ListingManager = TenantManager.from_queryset(ListingQuerySet)


class Listing(TenantModel):
    """One workflow on the shelf; its releases carry what is installed."""

    publisher = models.ForeignKey(
        Publisher, on_delete=models.PROTECT, db_constraint=False, related_name="listings"
    )
    slug = models.CharField(max_length=60)
    name = models.CharField(max_length=200)
    tagline = models.CharField(max_length=200, blank=True)
    description = models.TextField()
    documentation = models.TextField(help_text="CommonMark.")
    category = models.CharField(max_length=20, choices=choices(Category))
    tags = ArrayField(models.CharField(max_length=50), default=list)
    license = models.CharField(max_length=40)
    locale = models.CharField(max_length=20, default="en")
    visibility = models.CharField(max_length=10, choices=choices(Visibility))
    status = models.CharField(
        max_length=10, choices=choices(ListingStatus), default=ListingStatus.DRAFT.value
    )
    pricing_model = models.CharField(
        max_length=12, choices=choices(PricingModel), default=PricingModel.FREE.value
    )
    price_minor = models.BigIntegerField(default=0)
    currency = models.CharField(max_length=3, default="USD")
    interval = models.CharField(max_length=5, blank=True, help_text="MONTH or YEAR.")
    trial_days = models.PositiveSmallIntegerField(null=True)
    usage_metric = models.CharField(max_length=40, blank=True)
    latest_version = models.CharField(
        max_length=64, blank=True, help_text="Highest stable release that may be installed."
    )
    latest_release_id = models.UUIDField(null=True)
    deprecation = models.TextField(blank=True)
    deprecated_at = models.DateTimeField(null=True)
    created_at = models.DateTimeField(default=now, editable=False)
    updated_at = models.DateTimeField(default=now)
    published_at = models.DateTimeField(null=True)
    is_public = models.BooleanField(
        default=False, help_text="Shown and PUBLIC or UNLISTED: every organization may read it."
    )

    objects: ClassVar[ListingManager[Self]] = ListingManager(platform=True, public=PUBLIC)

    class Meta(TenantModel.Meta):
        ordering = ("-id",)
        constraints: ClassVar[list[Any]] = [
            *tenant_constraints("listing"),
            models.UniqueConstraint(fields=["tenant", "slug"], name="listing_slug_key"),
            models.CheckConstraint(
                condition=models.Q(price_minor__gte=0), name="listing_price_not_negative"
            ),
            TenantForeignKeyConstraint(
                field="publisher", to_table="marketplace_publisher", name="listing_publisher_fk"
            ),
        ]
        indexes: ClassVar[list[Any]] = [
            models.Index(fields=["publisher", "-id"], name="listing_publisher_idx")
        ]

    def __str__(self) -> str:
        return self.slug
