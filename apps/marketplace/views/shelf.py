"""The shelf: search with its filters, a listing's page, and the small picture on its card."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase, QueryDict
from django.shortcuts import render
from django.template.loader import render_to_string
from django.views.decorators.http import require_safe

from apps.kit.html.paging import pager, window_of
from apps.kit.html.tags import words
from apps.marketplace import facets, policies, search
from apps.marketplace.facets import FacetName
from apps.marketplace.models import Listing, ListingStatistics, Release
from apps.marketplace.requirements import Requirements
from apps.marketplace.search import Question, Sort
from apps.marketplace.terms import Category, PricingModel
from apps.marketplace.words import MAX_QUERY
from apps.tenancy import scope
from apps.tenancy.doors import PublicRequest, open_page, public_page
from apps.workflows.drawing import draw
from apps.workflows.graph import catalogue

COUNT_LIMIT = 1000
PAGE_SIZE = 24
_SORTS = {
    Sort.RELEVANCE: "Best match",
    Sort.POPULARITY: "Most run",
    Sort.TRENDING: "Trending",
    Sort.RATING: "Best rated",
    Sort.NEWEST: "Newest",
    Sort.RECENTLY_UPDATED: "Recently updated",
    Sort.NAME: "Name",
}
# Each filter of the page: its name in the address, its facet and its heading.
_FILTERS = (
    ("category", FacetName.CATEGORY, "Category"),
    ("tag", FacetName.TAG, "Tags"),
    ("price", FacetName.PRICING_MODEL, "Price"),
    ("license", FacetName.LICENSE, "License"),
    ("publisher", FacetName.PUBLISHER, "Publisher"),
    ("step", FacetName.NODE_TYPE, "Types of steps"),
)
_SHOWN_BUCKETS = 8


@dataclass(frozen=True)
class Choice:
    """One value of a filter: a link that sets it, or takes it back when it is set."""

    label: str
    count: int
    selected: bool
    href: str


@dataclass(frozen=True)
class Filter:
    """One group of choices."""

    label: str
    buckets: tuple[Choice, ...]
    is_sampled: bool


@require_safe
@public_page
def results(request: PublicRequest) -> HttpResponse:
    """Search, browse, filter."""
    asked = question_of(request.GET)
    tenant_id = None if request.actor is None else request.actor.tenant_id
    with scope.transaction():
        total = _total(asked, tenant_id=tenant_id)
        spelling = (
            search.did_you_mean(asked, tenant_id=tenant_id) if asked.text and not total else None
        )
        question = asked
        if spelling:
            # What was meant is shown at once, and the page says that it is.
            question = replace(asked, text=spelling)
            total = _total(question, tenant_id=tenant_id)
        page = search.page_of(
            question, tenant_id=tenant_id, window=window_of(request, size=PAGE_SIZE)
        )
        counted = facets.facets_of(question, [one for _, one, _ in _FILTERS], tenant_id=tenant_id)
        names = [name for name, _, _ in _FILTERS]
        context = {
            "query": asked.text,
            "page": pager(page),
            "total": {"value": min(total, COUNT_LIMIT), "is_exact": total <= COUNT_LIMIT},
            "facets": _filters(request, counted),
            "did_you_mean": spelling,
            "sorts": [(sort.value, label) for sort, label in _SORTS.items()],
            "sort": question.sort.value,
            "carried": list(_carried(request.GET, [*names, "q"])),
            "carried_filters": list(_carried(request.GET, [*names, "sort"])),
            "is_filtered": any(request.GET.get(name) for name in [*names, "q"]),
            "is_filtered_by_choice": any(request.GET.get(name) for name in names),
            "is_home": not request.GET,
        }
        return render(request, "marketplace/search.html", context)


def _total(question: Question, *, tenant_id: uuid.UUID | None) -> int:
    """How many match, counted as far as the page says it."""
    return search.matching(question, tenant_id=tenant_id).order_by()[: COUNT_LIMIT + 1].count()


def question_of(asked: QueryDict) -> Question:
    """The question in an address; what makes no sense is left out, never an error."""
    category = asked.get("category", "")
    sort = asked.get("sort", "")
    return Question(
        text=asked.get("q", "").strip()[:MAX_QUERY],
        category=category if category in set(Category) else None,
        tags=_texts(asked, "tag"),
        pricing_models=tuple(one for one in _texts(asked, "price") if one in set(PricingModel)),
        licenses=_texts(asked, "license"),
        publisher=asked.get("publisher") or None,
        node_types=_texts(asked, "step"),
        sort=Sort(sort) if sort in _SORTS else Sort.RELEVANCE,
    )


def _texts(asked: QueryDict, name: str) -> tuple[str, ...]:
    # A NUL can stand in an address and not in a PostgreSQL text.
    return tuple(
        one.replace("\x00", "")[:130] for one in asked.getlist(name)[: search.MAX_TAGS] if one
    )


def _carried(asked: QueryDict, names: list[str]) -> Iterator[tuple[str, str]]:
    """What a form must repeat so that it changes only its own field."""
    for name in names:
        for value in asked.getlist(name):
            yield name, value


def _filters(request: HttpRequest, counted: list[facets.Facet]) -> list[Filter]:
    return [
        Filter(
            label=label,
            buckets=_choices(request, name, facet),
            is_sampled=facet.is_sampled,
        )
        for (name, _, label), facet in zip(_FILTERS, counted, strict=True)
    ]


def _choices(request: HttpRequest, name: str, facet: facets.Facet) -> tuple[Choice, ...]:
    chosen = request.GET.getlist(name)
    found = {bucket.value: bucket.count for bucket in facet.buckets}
    # What is set stays there to be taken back, even when nothing matches it.
    shown = [*chosen, *(value for value in found if value not in chosen)][:_SHOWN_BUCKETS]
    return tuple(
        Choice(
            label=_label(facet.name, value),
            count=found.get(value, 0),
            selected=value in chosen,
            href=_toggled(request.GET, name, value),
        )
        for value in shown
    )


def _label(facet: FacetName, value: str) -> str:
    match facet:
        case FacetName.CATEGORY | FacetName.PRICING_MODEL:
            return str(words(value))
        case FacetName.NODE_TYPE:
            known = catalogue.get(value)
            return value if known is None else known.title
        case _:
            return value


def _toggled(asked: QueryDict, name: str, value: str) -> str:
    """The address with a filter's value set, or taken back, from the first page on."""
    changed = asked.copy()
    for stale in ("after", "before"):
        changed.pop(stale, None)
    values = changed.getlist(name)
    if value in values:
        changed.setlist(name, [one for one in values if one != value])
    elif name in {"category", "publisher"}:
        changed[name] = value
    else:
        changed.setlist(name, [*values, value])
    return "?" + changed.urlencode()


@require_safe
@public_page
def listing(request: PublicRequest, publisher: str, slug: str) -> HttpResponse:
    """What a workflow is, does, needs and may do, before anything is installed."""
    with scope.transaction():
        found = _shown(publisher, slug)
        release = _release(found, request.GET.get("version"))
        statistics = ListingStatistics.objects.filter(listing_id=found.pk).first()
        context = {
            "listing": found,
            "downloads": 0 if statistics is None else statistics.downloads,
            "release": release,
            "scan": release.scan_summary,
            "drawing": draw(release.document),
            "releases": Release.objects.of_listing(found.pk)
            .shown(yanked=True)
            .without_document()[:20],
            "may_install": request.actor is not None and policies.can_install(request.actor),
            **facts(release),
        }
        return render(request, "marketplace/listing.html", context)


def facts(release: Release) -> dict[str, Any]:
    """What an installer should know of a release, as the pages show it."""
    needs = Requirements.from_json(release.requirements)
    required = set(needs.parameters.get("required") or ())
    return {
        "needs": needs,
        "parameters": [
            {"name": name, "schema": schema, "required": name in required}
            for name, schema in (needs.parameters.get("properties") or {}).items()
        ],
    }


@require_safe
@open_page
def picture(request: HttpRequest, publisher: str, slug: str) -> HttpResponseBase:
    """The graph of the newest release without words, for cards; most need no session at all."""
    try:
        return _picture(publisher, slug)
    except Http404:
        return _own_picture(request, publisher=publisher, slug=slug)


@public_page
def _own_picture(request: PublicRequest, publisher: str, slug: str) -> HttpResponse:
    """Of a listing that only the visitor's organization sees."""
    return _picture(publisher, slug)


def _picture(publisher: str, slug: str) -> HttpResponse:
    with scope.transaction():
        found = _shown(publisher, slug)
        drawing = draw(_release(found, None).document)
    svg = render_to_string("marketplace/picture.svg", {"drawing": drawing})
    response = HttpResponse(svg, content_type="image/svg+xml")
    response["Cache-Control"] = f"{'public' if found.is_public else 'private'}, max-age=3600"
    return response


def _shown(publisher: str, slug: str) -> Listing:
    found = Listing.objects.by_slug(publisher, slug).shown().select_related("publisher").first()
    if found is None:
        raise Http404
    return found


def _release(found: Listing, version: str | None) -> Release:
    releases = Release.objects.of_listing(found.pk).shown(yanked=True)
    chosen = (
        releases.filter(version=version[:64])
        if version
        else releases.filter(pk__in=[found.latest_release_id])
    )
    release = chosen.first()
    if release is None:
        raise Http404
    return release
