"""The search table: public facts about listings, kept by the search index.

Everybody may read every row: a policy that filters rows would turn the GIN indexes off. Only the
publisher and the platform write. `audience` names the one organization that may find a private
listing; every question asked of the table filters by it (`found_by`).
"""

from __future__ import annotations

import uuid
from typing import Any, ClassVar, Self

from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.indexes import GinIndex, OpClass
from django.contrib.postgres.search import SearchVector, SearchVectorField
from django.db import models
from django.db.models.functions import Upper

from apps.marketplace.models.listings import choices
from apps.marketplace.terms import Category, PricingModel

SCORE = 1_000
"""Ratings and scores are integers: thousandths. A float does not compare equal to its own text."""


class SearchRowQuerySet(models.QuerySet["SearchRow"]):
    """Questions about what can be found."""

    def found_by(self, tenant_id: uuid.UUID | None) -> Self:
        """What an organization (None: a visitor) may find."""
        public = models.Q(audience=None)
        return self.filter(public if tenant_id is None else public | models.Q(audience=tenant_id))


SearchRowManager = models.Manager.from_queryset(SearchRowQuerySet)


class SearchRow(models.Model):
    """One listing as search sees it. Scores are integers, so that keyset pages lose nothing."""

    listing_id = models.UUIDField(primary_key=True)
    publisher_tenant_id = models.UUIDField()
    audience = models.UUIDField(null=True, help_text="Null: everybody.")
    publisher_handle = models.CharField(max_length=40)
    is_verified = models.BooleanField(default=False)
    slug = models.CharField(max_length=60)
    name = models.CharField(max_length=200)
    tagline = models.CharField(max_length=200, blank=True)
    keywords = models.TextField(blank=True, help_text="Tags, node types and publisher as text.")
    description = models.TextField(blank=True)
    category = models.CharField(max_length=20, choices=choices(Category))
    tags = ArrayField(models.CharField(max_length=50), default=list)
    node_types = ArrayField(models.CharField(max_length=130), default=list)
    license = models.CharField(max_length=40)
    locale = models.CharField(max_length=20)
    platform = models.CharField(max_length=200, default="*")
    pricing_model = models.CharField(max_length=12, choices=choices(PricingModel))
    price_minor = models.BigIntegerField(default=0)
    currency = models.CharField(max_length=3, default="USD")
    verdict = models.CharField(max_length=8)
    popularity = models.IntegerField(default=0)
    trending = models.IntegerField(default=0)
    rating = models.IntegerField(default=0, help_text="Bayesian mean in thousandths.")
    rating_score = models.IntegerField(default=0, help_text="Wilson lower bound in thousandths.")
    downloads = models.IntegerField(default=0)
    published_at = models.DateTimeField()
    updated_at = models.DateTimeField()
    search = models.GeneratedField(
        expression=(
            SearchVector("name", weight="A", config="simple")
            + SearchVector("name", weight="A", config="english")
            + SearchVector("tagline", weight="B", config="english")
            + SearchVector("keywords", weight="B", config="simple")
            + SearchVector("description", weight="D", config="english")
        ),
        output_field=SearchVectorField(),
        db_persist=True,
    )

    objects: ClassVar[SearchRowManager[Self]] = SearchRowManager()

    class Meta:
        db_table = "marketplace_search"
        indexes: ClassVar[list[Any]] = [
            GinIndex(fields=["search"], name="search_text_idx", fastupdate=False),
            GinIndex(fields=["tags"], name="search_tags_idx", fastupdate=False),
            GinIndex(fields=["node_types"], name="search_node_types_idx", fastupdate=False),
            GinIndex(OpClass(Upper("name"), "gin_trgm_ops"), name="search_name_trgm_idx"),
            models.Index(fields=["-popularity", "-listing_id"], name="search_popularity_idx"),
            models.Index(fields=["-trending", "-listing_id"], name="search_trending_idx"),
            models.Index(fields=["-rating_score", "-listing_id"], name="search_rating_idx"),
            models.Index(fields=["-published_at", "-listing_id"], name="search_newest_idx"),
            models.Index(fields=["-updated_at", "-listing_id"], name="search_updated_idx"),
            models.Index(fields=["price_minor", "listing_id"], name="search_price_idx"),
            models.Index(fields=["name", "listing_id"], name="search_name_idx"),
            models.Index(
                fields=["category", "-popularity", "-listing_id"], name="search_category_idx"
            ),
            models.Index(fields=["publisher_handle", "-listing_id"], name="search_publisher_idx"),
        ]

    def __str__(self) -> str:
        return self.slug


class SearchWord(models.Model):
    """One word of the public listings: what a misspelt query is compared with."""

    word = models.CharField(primary_key=True, max_length=60)
    listings = models.PositiveIntegerField(default=0)

    class Meta:
        db_table = "marketplace_search_word"
        indexes: ClassVar[list[Any]] = [
            GinIndex(OpClass(models.F("word"), "gin_trgm_ops"), name="search_word_trgm_idx")
        ]

    def __str__(self) -> str:
        return self.word
