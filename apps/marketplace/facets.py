"""Around a search: facets of its result, suggestions while typing, the shelf by category."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from enum import StrEnum

from django.db.models import Count, F, Func, IntegerField, QuerySet
from django.db.models.expressions import Combinable

from apps.marketplace import search
from apps.marketplace.models import SearchRow, SearchWord
from apps.marketplace.models.search_rows import SCORE
from apps.marketplace.terms import Category
from apps.marketplace.words import MAX_QUERY, words_of

SAMPLE = 5_000
MAX_BUCKETS = 20
SUGGESTED_FROM = 100
COUNTED = 1_001


class FacetName(StrEnum):
    """By what a result can be counted; the API's names."""

    CATEGORY = "CATEGORY"
    TAG = "TAG"
    PRICING_MODEL = "PRICING_MODEL"
    RATING = "RATING"
    LICENSE = "LICENSE"
    PUBLISHER = "PUBLISHER"
    NODE_TYPE = "NODE_TYPE"
    PLATFORM_VERSION = "PLATFORM_VERSION"


class SuggestionKind(StrEnum):
    """What a suggestion leads to."""

    WORKFLOW = "WORKFLOW"
    TAG = "TAG"
    PUBLISHER = "PUBLISHER"
    QUERY = "QUERY"


@dataclass(frozen=True)
class Bucket:
    """One value of a facet and how many results have it."""

    value: str
    count: int


@dataclass(frozen=True)
class Facet:
    """One way to narrow a result. `is_sampled`: counted over the first 5,000 results only."""

    name: FacetName
    buckets: tuple[Bucket, ...]
    is_sampled: bool


@dataclass(frozen=True)
class Suggestion:
    """Something to search for or to open."""

    text: str
    kind: SuggestionKind
    listing_id: uuid.UUID | None = None


class _Unnest(Func):
    function = "unnest"
    set_returning = True


_VALUES: dict[FacetName, Combinable] = {
    FacetName.CATEGORY: F("category"),
    FacetName.TAG: _Unnest(F("tags")),
    FacetName.PRICING_MODEL: F("pricing_model"),
    FacetName.RATING: Func(F("rating") / SCORE, function="floor", output_field=IntegerField()),
    FacetName.LICENSE: F("license"),
    FacetName.PUBLISHER: F("publisher_handle"),
    FacetName.NODE_TYPE: _Unnest(F("node_types")),
    FacetName.PLATFORM_VERSION: F("platform"),
}


def facets_of(
    question: search.Question, names: list[FacetName], *, tenant_id: uuid.UUID | None
) -> list[Facet]:
    """Count the results by each name; large results are sampled."""
    found = search.matching(question, tenant_id=tenant_id)
    ids = list(found.order_by().values_list("pk", flat=True)[: SAMPLE + 1])
    sampled = len(ids) > SAMPLE
    rows = SearchRow.objects.filter(pk__in=ids[:SAMPLE]) if ids else SearchRow.objects.none()
    return [Facet(name, _buckets(rows, name), sampled) for name in dict.fromkeys(names)]


def _buckets(rows: QuerySet[SearchRow], name: FacetName) -> tuple[Bucket, ...]:
    counted = (
        rows.order_by()
        .annotate(value=_VALUES[name])
        .values("value")
        .annotate(number=Count("pk"))
        .order_by("-number", "value")
        .values_list("value", "number")[:MAX_BUCKETS]
    )
    return tuple(Bucket(str(value), number) for value, number in counted)


def suggest(prefix: str, *, tenant_id: uuid.UUID | None, limit: int) -> list[Suggestion]:
    """What a beginning may become: listings first, then tags, publishers and words."""
    words = words_of(prefix[:MAX_QUERY])
    if not words:
        return []
    visible = SearchRow.objects.found_by(tenant_id)
    rows = visible.filter(search=search.text_query(words)).order_by("-popularity", "-listing_id")
    found = [
        Suggestion(name, SuggestionKind.WORKFLOW, listing_id)
        for listing_id, name in rows.values_list("listing_id", "name")[:limit]
    ]
    beginning = words[-1]
    # A tag is among the keywords, so whatever has it was found by its beginning.
    tags = rows.values_list("tags", flat=True)[:SUGGESTED_FROM]
    found += [
        Suggestion(tag, SuggestionKind.TAG)
        for tag in sorted({tag for row in tags for tag in row if tag.startswith(beginning)})[:limit]
    ]
    public = SearchRow.objects.found_by(None)
    handles = public.filter(publisher_handle__startswith=beginning).order_by("publisher_handle")
    found += [
        Suggestion(handle, SuggestionKind.PUBLISHER)
        for handle in handles.values_list("publisher_handle", flat=True).distinct()[:limit]
    ]
    known = SearchWord.objects.filter(word__startswith=beginning).order_by("-listings", "word")
    found += [
        Suggestion(" ".join([*words[:-1], word]), SuggestionKind.QUERY)
        for word in known.values_list("word", flat=True)[:limit]
    ]
    return found[:limit]


def category_counts(*, tenant_id: uuid.UUID | None) -> dict[str, int]:
    """How many listings each category shows, counted to a thousand and one."""
    visible = SearchRow.objects.found_by(tenant_id)
    return {
        category.value: visible.filter(category=category).order_by()[:COUNTED].count()
        for category in Category
    }
