"""Search: what was asked, the page of rows that answers it, its facets and its spelling."""

from __future__ import annotations

import datetime as dt
import functools
import operator
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any, assert_never

from django.contrib.postgres.search import SearchQuery, SearchRank, TrigramSimilarity
from django.db.models import F, IntegerField, QuerySet, Value
from django.db.models.functions import Cast, Ln

from apps.kit.pages import Page, Window, paginate
from apps.marketplace import semver
from apps.marketplace.models import SearchRow, SearchWord
from apps.marketplace.models.search_rows import SCORE
from apps.marketplace.words import words_of
from apps.versions.semver import NotSemVer

# D, C, B, A: description, unused, tagline and keywords, name.
_WEIGHTS = [0.1, 0.2, 0.4, 1.0]
_RANK_SCALE = 1_000_000
_NO_QUESTION = frozenset({"a", "an", "and", "for", "in", "of", "on", "or", "the", "to", "with"})
MAX_TAGS = 20
CLOSE_ENOUGH = 0.35


class Sort(StrEnum):
    """In which order; the API's names."""

    RELEVANCE = "RELEVANCE"
    POPULARITY = "POPULARITY"
    TRENDING = "TRENDING"
    RATING = "RATING"
    NEWEST = "NEWEST"
    RECENTLY_UPDATED = "RECENTLY_UPDATED"
    PRICE_ASC = "PRICE_ASC"
    PRICE_DESC = "PRICE_DESC"
    NAME = "NAME"


_ORDERS = {
    Sort.RELEVANCE: ("-popularity", "-listing_id"),  # without a text, the best known first
    Sort.POPULARITY: ("-popularity", "-listing_id"),
    Sort.TRENDING: ("-trending", "-listing_id"),
    Sort.RATING: ("-rating_score", "-listing_id"),
    Sort.NEWEST: ("-published_at", "-listing_id"),
    Sort.RECENTLY_UPDATED: ("-updated_at", "-listing_id"),
    Sort.PRICE_ASC: ("price_minor", "listing_id"),
    Sort.PRICE_DESC: ("-price_minor", "-listing_id"),
    Sort.NAME: ("name", "listing_id"),
}


class Registry(StrEnum):
    """Whose listings: everybody's public ones, the organization's own, or both."""

    PUBLIC = "PUBLIC"
    MINE = "MINE"
    PUBLIC_AND_MINE = "PUBLIC_AND_MINE"


_VERDICTS = ("PENDING", "FAILED", "WARNINGS", "PASSED")


@dataclass(frozen=True, kw_only=True)
class Question:
    """A search: its text, its filters and its order. What is left out filters nothing."""

    text: str = ""
    category: str | None = None
    tags: tuple[str, ...] = ()
    min_rating: float | None = None
    max_price: float | None = None
    sort: Sort = Sort.RELEVANCE
    publisher: str | None = None
    verified_only: bool = False
    registry: Registry = Registry.PUBLIC_AND_MINE
    pricing_models: tuple[str, ...] = ()
    price_min_minor: int | None = None
    price_max_minor: int | None = None
    licenses: tuple[str, ...] = ()
    node_types: tuple[str, ...] = ()
    only_node_types: tuple[str, ...] | None = None
    platform: str | None = None
    verdict_at_least: str | None = None
    min_installs: int | None = None
    updated_after: dt.datetime | None = None
    locale: str | None = None

    @property
    def words(self) -> tuple[str, ...]:
        """The words that are searched for."""
        found = words_of(self.text)
        return tuple(word for word in found if word not in _NO_QUESTION) or found


def page_of(question: Question, *, tenant_id: uuid.UUID | None, window: Window) -> Page[SearchRow]:
    """One page of rows in the question's order, with cursors bound to question and organization."""
    rows, order = _ordered(matching(question, tenant_id=tenant_id), question)
    key = {"search": asdict(question), "tenant": str(tenant_id)}
    return paginate(rows.defer("search"), order=order, window=window, key=key)


def matching(question: Question, *, tenant_id: uuid.UUID | None) -> QuerySet[SearchRow]:
    """Every row that answers the question, in no order."""
    rows = _registry(question.registry, tenant_id)
    if question.words:
        rows = rows.filter(search=text_query(question.words))
    return _filtered(rows, question)


def text_query(words: Sequence[str]) -> Any:
    """All of the words, in any of their forms; the last one may still be being typed."""
    queries = [_forms(word) for word in words]
    last = words[-1]
    queries[-1] |= SearchQuery(f"'{last}':*", config="simple", search_type="raw")
    return functools.reduce(operator.and_, queries)


def did_you_mean(question: Question, *, tenant_id: uuid.UUID | None) -> str | None:
    """A close spelling of a text that found nothing, if that spelling finds something."""
    corrected = [_closest(word) for word in question.words]
    if not corrected or tuple(corrected) == question.words:
        return None
    again = Question(**{**asdict(question), "text": " ".join(corrected)})
    return again.text if matching(again, tenant_id=tenant_id).exists() else None


def _registry(registry: Registry, tenant_id: uuid.UUID | None) -> QuerySet[SearchRow]:
    found: QuerySet[SearchRow] = SearchRow.objects.found_by(tenant_id)
    match registry:
        case Registry.PUBLIC:
            return found.filter(audience=None)
        case Registry.MINE:
            return found.filter(publisher_tenant_id=tenant_id) if tenant_id else found.none()
        case Registry.PUBLIC_AND_MINE:
            return found
        case _:
            assert_never(registry)


def _forms(word: str) -> Any:
    """A word as it stands in names and keywords, or any inflection of it in prose."""
    return SearchQuery(word, config="simple", search_type="plain") | SearchQuery(
        word, config="english", search_type="plain"
    )


def _filtered(rows: QuerySet[SearchRow], question: Question) -> QuerySet[SearchRow]:
    exact = {
        "category": question.category,
        "publisher_handle": question.publisher,
        "locale": question.locale,
        "is_verified": True if question.verified_only else None,
        "tags__contains": list(question.tags[:MAX_TAGS]) or None,
        "node_types__contains": list(question.node_types[:MAX_TAGS]) or None,
        "node_types__contained_by": question.only_node_types and list(question.only_node_types),
        "pricing_model__in": list(question.pricing_models) or None,
        "license__in": list(question.licenses) or None,
        "rating__gte": _thousandths(question.min_rating),
        "price_minor__lte": _minor(question.max_price),
        "price_minor__gte": question.price_min_minor,
        "downloads__gte": question.min_installs,
        "updated_at__gt": question.updated_after,
        "verdict__in": _at_least(question.verdict_at_least),
    }
    rows = rows.filter(**{name: value for name, value in exact.items() if value is not None})
    if question.price_max_minor is not None:
        rows = rows.filter(price_minor__lte=question.price_max_minor)
    if question.platform is not None:
        rows = rows.filter(platform__in=_platforms(rows, question.platform))
    return rows


def _ordered(
    rows: QuerySet[SearchRow], question: Question
) -> tuple[QuerySet[SearchRow], tuple[str, str]]:
    if question.sort is Sort.RELEVANCE and question.words:
        return rows.annotate(score=_score(question.words)), ("-score", "-listing_id")
    return rows, _ORDERS[question.sort]


def _score(words: Sequence[str]) -> Any:
    """Rank times a little popularity, as an integer: keyset pages over a float lose rows."""
    rank = SearchRank(F("search"), text_query(words), weights=_WEIGHTS, normalization=Value(32))
    liked = Value(1.0) + Value(0.15) * Ln(Value(1.0) + F("popularity") / Value(float(SCORE)))
    return Cast(rank * Value(float(_RANK_SCALE)) * liked, IntegerField())


def _closest(word: str) -> str:
    if len(word) < 3 or SearchWord.objects.filter(word=word).exists():
        return word
    found = (
        SearchWord.objects.filter(word__trigram_similar=word)
        .annotate(likeness=TrigramSimilarity("word", word))
        .filter(likeness__gte=CLOSE_ENOUGH)
        .order_by("-likeness", "-listings", "word")
        .values_list("word", flat=True)
        .first()
    )
    return found or word


def _platforms(rows: QuerySet[SearchRow], version: str) -> list[str]:
    """The version ranges in use that a platform version satisfies: few, so they are read out."""
    ranges: Iterable[str] = rows.order_by().values_list("platform", flat=True).distinct()
    return [one for one in ranges if _satisfies(version, one)]


def _satisfies(version: str, wanted: str) -> bool:
    try:
        return semver.satisfies(version, wanted)
    except (semver.InvalidRange, NotSemVer):
        return False


def _thousandths(value: float | None) -> int | None:
    return None if value is None else round(max(0.0, min(value, 5.0)) * SCORE)


def _minor(value: float | None) -> int | None:
    return None if value is None else round(max(0.0, min(value, 1e12)) * 100)


def _at_least(verdict: str | None) -> list[str] | None:
    return None if verdict is None else list(_VERDICTS[_VERDICTS.index(verdict) :])
