"""Releases: immutable copies of a document with digest, requirements and what the scan said."""

from __future__ import annotations

import uuid
from typing import Any, ClassVar, Self

from django.db import models

from apps.kit.clock import now
from apps.marketplace.models.listings import PUBLIC, Listing, choices
from apps.marketplace.terms import Channel, ReleaseStatus, Risk
from apps.tenancy.constraints import TenantForeignKeyConstraint
from apps.tenancy.managers import TenantManager
from apps.tenancy.models import TenantModel, tenant_constraints

SHOWN = (ReleaseStatus.PUBLISHED, ReleaseStatus.YANKED)


class ReleaseQuerySet(models.QuerySet["Release"]):
    """Questions about releases."""

    def of_listing(self, listing_id: uuid.UUID) -> Self:
        """The releases of one listing, newest first."""
        return self.filter(listing_id=listing_id).order_by("-id")

    def installable(self) -> Self:
        """What may be installed."""
        return self.filter(status=ReleaseStatus.PUBLISHED)

    def shown(self, *, yanked: bool = False) -> Self:
        """What the marketplace lists."""
        return self.filter(status__in=SHOWN if yanked else SHOWN[:1])

    def without_document(self) -> Self:
        """For lists: the document can be a megabyte."""
        return self.defer("document")


ReleaseManager = TenantManager.from_queryset(ReleaseQuerySet)


class Release(TenantModel):
    """One version of a listing with its own frozen copy of the document."""

    listing = models.ForeignKey(
        Listing, on_delete=models.PROTECT, db_constraint=False, related_name="releases"
    )
    version = models.CharField(max_length=64)
    channel = models.CharField(max_length=8, choices=choices(Channel), default=Channel.STABLE.value)
    status = models.CharField(max_length=20, choices=choices(ReleaseStatus))
    document = models.JSONField()
    digest = models.CharField(max_length=80, help_text="SHA-256 of what is installed.")
    content_hash = models.CharField(max_length=80)
    size_bytes = models.BigIntegerField()
    changelog = models.TextField(help_text="CommonMark.")
    requirements = models.JSONField()
    described = models.JSONField(
        help_text="What the listing will say once this release is published."
    )
    scan_id = models.UUIDField(null=True)
    scan_summary = models.JSONField(default=dict, help_text="Verdict, score and findings.")
    approval_id = models.UUIDField(null=True)
    source_version_id = models.UUIDField(null=True, help_text="The version it was made from.")
    source_repository = models.URLField(blank=True, max_length=2048)
    source_commit = models.CharField(max_length=64, blank=True)
    is_breaking = models.BooleanField(default=False)
    submitted_by_id = models.UUIDField(null=True)
    submitted_at = models.DateTimeField(default=now, editable=False)
    published_at = models.DateTimeField(null=True)
    decision_comment = models.TextField(blank=True)
    yank_reason = models.TextField(blank=True)
    yank_severity = models.CharField(max_length=8, choices=choices(Risk), blank=True)
    yanked_at = models.DateTimeField(null=True)
    is_public = models.BooleanField(default=False, help_text="Shown, and so is its listing.")

    objects: ClassVar[ReleaseManager[Self]] = ReleaseManager(platform=True, public=PUBLIC)

    class Meta(TenantModel.Meta):
        ordering = ("-id",)
        constraints: ClassVar[list[Any]] = [
            *tenant_constraints("release"),
            models.UniqueConstraint(
                fields=["tenant", "listing", "version"], name="release_version_key"
            ),
            TenantForeignKeyConstraint(
                field="listing", to_table="marketplace_listing", name="release_listing_fk"
            ),
        ]
        indexes: ClassVar[list[Any]] = [
            models.Index(fields=["listing", "-id"], name="release_listing_idx")
        ]

    def __str__(self) -> str:
        return f"{self.listing_id} {self.version}"
