"""What a listing's users amount to: folded by a platform job, read by everybody."""

from __future__ import annotations

from typing import Any, ClassVar, Self

from django.db import models

from apps.kit.clock import now
from apps.marketplace.models.listings import Listing
from apps.tenancy.constraints import TenantForeignKeyConstraint
from apps.tenancy.managers import TenantManager
from apps.tenancy.models import TenantModel, tenant_constraints


class ListingStatistics(TenantModel):
    """Counts of one listing. A download is an organization that ran it to success."""

    listing = models.ForeignKey(
        Listing, on_delete=models.CASCADE, db_constraint=False, related_name="+"
    )
    downloads = models.PositiveIntegerField(default=0)
    downloads_30_days = models.PositiveIntegerField(default=0)
    installations = models.PositiveIntegerField(default=0)
    folded_at = models.DateTimeField(default=now)

    objects: ClassVar[TenantManager[Self]] = TenantManager(
        platform=True, public=models.Q(listing__is_public=True)
    )

    class Meta(TenantModel.Meta):
        constraints: ClassVar[list[Any]] = [
            *tenant_constraints("listing_statistics"),
            models.UniqueConstraint(fields=["tenant", "listing"], name="statistics_listing_key"),
            TenantForeignKeyConstraint(
                field="listing",
                to_table="marketplace_listing",
                name="statistics_listing_fk",
                on_delete="CASCADE",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.listing_id}: {self.downloads}"
