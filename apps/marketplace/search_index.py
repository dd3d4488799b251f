"""Keeps the search table: one row per findable listing, rewritten whenever a fact of it changes."""

from __future__ import annotations

import math
import uuid
from collections.abc import Mapping
from typing import Any

from django.db import connection

from apps.marketplace.models import Listing, ListingStatistics, Release, SearchRow
from apps.marketplace.terms import ListingStatus, Verification, Visibility

_SHOWN = frozenset({ListingStatus.PUBLISHED, ListingStatus.DEPRECATED})
MAX_DESCRIPTION = 20_000
# The words of public listings only: a suggestion must not tell what a private one is called.
_WORDS = """
    INSERT INTO marketplace_search_word (word, listings)
    SELECT lexeme, 0
      FROM marketplace_search s, unnest(to_tsvector('simple', s.name || ' ' || s.tagline || ' ' ||
           s.keywords)) AS word(lexeme, positions, weights)
     WHERE s.listing_id = %s AND s.audience IS NULL
       AND length(lexeme) BETWEEN 3 AND 60 AND lexeme ~ '^[[:alpha:]]+$'
        ON CONFLICT (word) DO NOTHING
"""
_RECOUNT = """
    WITH counted AS (
      SELECT lexeme, count(*) AS listings
        FROM marketplace_search s, unnest(to_tsvector('simple', s.name || ' ' || s.tagline || ' ' ||
             s.keywords)) AS word(lexeme, positions, weights)
       WHERE s.audience IS NULL
         AND length(lexeme) BETWEEN 3 AND 60 AND lexeme ~ '^[[:alpha:]]+$'
       GROUP BY lexeme
    ), gone AS (
      DELETE FROM marketplace_search_word w
       WHERE NOT EXISTS (SELECT FROM counted c WHERE c.lexeme = w.word)
    )
    INSERT INTO marketplace_search_word (word, listings)
    SELECT lexeme, listings FROM counted ORDER BY lexeme
        ON CONFLICT (word) DO UPDATE SET listings = excluded.listings
     WHERE marketplace_search_word.listings <> excluded.listings
"""


def refresh(listing: Listing) -> None:
    """Write, or remove, the listing's row. Call in the transaction that changed the listing."""
    if not is_findable(listing):
        SearchRow.objects.filter(pk=listing.pk).delete()
        return
    release = Release.objects.defer("document").get(pk__in=[listing.latest_release_id])
    statistics = ListingStatistics.objects.filter(listing_id=listing.pk).first()
    SearchRow.objects.update_or_create(
        listing_id=listing.pk, defaults=_facts(listing, release, statistics)
    )
    with connection.cursor() as cursor:
        cursor.execute(_WORDS, [listing.pk])


def is_findable(listing: Listing) -> bool:
    """Shown, with something to install, and not only for those who have the link."""
    return (
        listing.status in _SHOWN
        and listing.latest_release_id is not None
        and listing.visibility != Visibility.UNLISTED
    )


def recount_words() -> None:
    """Make the words of suggestions agree with the rows; a platform job."""
    with connection.cursor() as cursor:
        cursor.execute(_RECOUNT)


def popularity_of(*, downloads: int, recent: int) -> int:
    """In thousandths: organizations that ever ran it, those of the last 30 days weighing double."""
    return round(1_000 * (math.log1p(downloads) + 2 * math.log1p(recent)))


def _facts(
    listing: Listing, release: Release, statistics: ListingStatistics | None
) -> Mapping[str, Any]:
    publisher = listing.publisher
    node_types = sorted({need["type"] for need in release.requirements["node_types"]})
    downloads = statistics.downloads if statistics else 0
    recent = statistics.downloads_30_days if statistics else 0
    audience: uuid.UUID | None = (
        listing.tenant_id if listing.visibility == Visibility.PRIVATE else None
    )
    return {
        "publisher_tenant_id": listing.tenant_id,
        "audience": audience,
        "publisher_handle": publisher.handle,
        "is_verified": publisher.verification != Verification.NONE,
        "slug": listing.slug,
        "name": listing.name,
        "tagline": listing.tagline,
        "keywords": " ".join(
            [*listing.tags, *(t.replace(".", " ") for t in node_types), publisher.name]
        ),
        "description": listing.description[:MAX_DESCRIPTION],
        "category": listing.category,
        "tags": listing.tags,
        "node_types": node_types,
        "license": listing.license,
        "locale": listing.locale,
        "platform": release.requirements["platform"],
        "pricing_model": listing.pricing_model,
        "price_minor": listing.price_minor,
        "currency": listing.currency,
        "verdict": release.scan_summary.get("verdict", "PENDING"),
        "popularity": popularity_of(downloads=downloads, recent=recent),
        "trending": recent,
        "downloads": downloads,
        "published_at": listing.published_at,
        "updated_at": listing.updated_at,
    }
