"""Belt two for what the marketplace shows, and the loaders that serve a whole page at once."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any

from django.conf import settings
from django.db.models import Count, F, Func, IntegerField, Q, QuerySet, Sum

from apps.kit.graphql.batch import batched, related, share
from apps.kit.graphql.scalars import URL
from apps.kit.pages import Window, first_pages
from apps.marketplace import models
from apps.marketplace.policies import owns
from apps.marketplace.terms import Category, ListingStatus, PricingModel, Visibility
from apps.tenancy.actors import Actor
from apps.tenancy.graphql.context import Info
from apps.tenancy.graphql.types import TenantType
from apps.tenancy.managers import Owned


class ShelfType(TenantType):
    """Rows of the tenant in force, and those that everybody may read."""

    @classmethod
    def get_queryset(cls, queryset: QuerySet[Any], info: Info | None, **_: Any) -> QuerySet[Any]:
        """Filtered again, even where a QuerySet was built without the managers."""
        return queryset.filter(Q(Owned("tenant", platform=True)) | Q(is_public=True))


def listings_in_order(ids: Iterable[uuid.UUID]) -> list[models.Listing]:
    """Listings by primary key in the order asked for, with their publishers, as one page."""
    wanted = list(ids)
    found = {
        row.pk: row
        for row in models.Listing.objects.select_related("publisher").filter(pk__in=wanted)
    }
    rows = [found[pk] for pk in wanted if pk in found]
    share(rows)
    return rows


def withdrawn(listing_id: uuid.UUID) -> models.Listing:
    """What stands for a listing that is no longer shown to those who installed it."""
    nobody = models.Publisher(pk=uuid.UUID(int=0), tenant_id=uuid.UUID(int=0))
    return models.Listing(
        pk=listing_id,
        tenant_id=nobody.tenant_id,
        publisher=nobody,
        status=ListingStatus.REMOVED.value,
        visibility=Visibility.PRIVATE.value,
        category=Category.OTHER.value,
    )


def latest_release(listing: models.Listing) -> models.Release | None:
    """The release that `version` names, without its document; one query for a page."""
    return batched(listing, "latest", _latest, listing.pk)


def newest_release(listing: models.Listing) -> models.Release | None:
    """The latest release, else (for its publisher) the newest one handed in."""
    return latest_release(listing) or batched(listing, "newest", _newest, listing.pk)


def statistics_of(listing: models.Listing) -> models.ListingStatistics:
    """The counts of a listing; zeros before anybody ran it."""
    found = batched(listing, "statistics", _statistics, listing.pk)
    return found or models.ListingStatistics(listing=listing)


def sizes_of(listing: models.Listing) -> tuple[int, int]:
    """How many nodes and connections the latest release draws, counted in the database."""
    return batched(listing, "sizes", _sizes, listing.pk) or (0, 0)


def document_of(listing: models.Listing, actor: Actor) -> dict[str, Any] | None:
    """The latest document of a free listing, or of one's own; one query for a page."""
    return batched(listing, "document", partial(_documents, actor), listing.pk)


def alike(listing: models.Listing, actor: Actor, *, size: int) -> list[models.Listing]:
    """Others with the same tags, the best known first; one search and one load for a page."""
    return batched(listing, f"alike {size}", partial(_alike, actor, size), listing.pk) or []


def counts_of(publisher: models.Publisher) -> tuple[int, int]:
    """How many listings a publisher shows, and their downloads; two queries for a page."""
    return batched(publisher, "counts", _counts, publisher.pk) or (0, 0)


def page_url(listing: models.Listing, tail: str = "") -> URL:
    """The listing's page."""
    handle = related(listing, "publisher").handle
    return URL(f"{settings.PUBLIC_URL}/marketplace/{handle}/{listing.slug}/{tail}")


def _latest(rows: tuple[models.Listing, ...]) -> Mapping[Any, models.Release]:
    wanted = {row.latest_release_id: row for row in rows if row.latest_release_id}
    found = list(models.Release.objects.without_document().filter(pk__in=list(wanted)))
    return _shared(found, {row.pk: row for row in rows})


def _newest(rows: tuple[models.Listing, ...]) -> Mapping[Any, models.Release]:
    found = list(
        models.Release.objects.without_document()
        .filter(listing__in=[row.pk for row in rows])
        .order_by("listing_id", "-pk")
        .distinct("listing_id")
    )
    return _shared(found, {row.pk: row for row in rows})


def _shared(
    releases: list[models.Release], listings: Mapping[Any, models.Listing]
) -> Mapping[Any, models.Release]:
    for release in releases:
        release.listing = listings[release.listing_id]
    share(releases)
    return {release.listing_id: release for release in releases}


def _statistics(rows: tuple[models.Listing, ...]) -> Mapping[Any, models.ListingStatistics]:
    found = models.ListingStatistics.objects.filter(listing__in=[row.pk for row in rows])
    return {one.listing_id: one for one in found}


def _sizes(rows: tuple[models.Listing, ...]) -> Mapping[Any, tuple[int, int]]:
    counted = (
        models.Release.objects.filter(
            pk__in=[row.latest_release_id for row in rows if row.latest_release_id]
        )
        .annotate(nodes=_length("nodes"), edges=_length("connections"))
        .values_list("listing_id", "nodes", "edges")
    )
    return {listing_id: (nodes or 0, edges or 0) for listing_id, nodes, edges in counted}


def _documents(actor: Actor, rows: tuple[models.Listing, ...]) -> Mapping[Any, dict[str, Any]]:
    free = [row for row in rows if row.pricing_model == PricingModel.FREE or owns(actor, row)]
    wanted = [row.latest_release_id for row in free if row.latest_release_id]
    found = models.Release.objects.filter(pk__in=wanted)
    return dict(found.values_list("listing_id", "document"))


def _alike(
    actor: Actor, size: int, rows: tuple[models.Listing, ...]
) -> Mapping[Any, list[models.Listing]]:
    if not size:
        return {}
    findable = models.SearchRow.objects.found_by(actor.tenant_id).only("listing_id", "popularity")
    pages = first_pages(
        {row.pk: findable.filter(tags__overlap=row.tags).exclude(pk=row.pk) for row in rows},
        order=("-popularity", "-listing_id"),
        window=Window(first=size),
        keys={row.pk: row.pk for row in rows},
    )
    known = {
        one.pk: one
        for one in listings_in_order({row.pk for page in pages.values() for row in page.items})
    }
    return {
        pk: [known[row.pk] for row in page.items if row.pk in known] for pk, page in pages.items()
    }


def _counts(rows: tuple[models.Publisher, ...]) -> Mapping[Any, tuple[int, int]]:
    shown = models.Listing.objects.of_publishers(rows).order_by()
    counted = shown.values_list("publisher_id").annotate(listings=Count("pk"))
    statistics = models.ListingStatistics.objects.filter(listing__in=shown.values("pk"))
    summed = statistics.order_by().values_list("listing__publisher_id")
    downloads = dict(summed.annotate(downloads=Sum("downloads")))
    return {pk: (listings, downloads.get(pk, 0)) for pk, listings in counted}


def _length(part: str) -> Func:
    return Func(F(f"document__{part}"), function="jsonb_array_length", output_field=IntegerField())
