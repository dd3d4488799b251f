"""Search: what is found, in which order, page by page without loss, and by which index."""

from __future__ import annotations

import random
import uuid
from collections.abc import Iterable, Iterator
from typing import Any

import psycopg
import pytest
from django.db import DatabaseError, transaction

from apps.kit.errors import Refusal
from apps.kit.pages import Window
from apps.marketplace import facets, search, search_index
from apps.marketplace.facets import FacetName, SuggestionKind
from apps.marketplace.models import SearchRow, SearchWord
from apps.marketplace.search import Question, Registry, Sort
from apps.tenancy import scope
from tests import database
from tests.factories import marketplace as make

pytestmark = pytest.mark.django_db

THEIRS = uuid.UUID(int=7)


def put(*rows: SearchRow) -> None:
    with scope.platform():
        SearchRow.objects.bulk_create(rows, batch_size=1_000)
        search_index.recount_words()


def names(question: Question, *, tenant_id: uuid.UUID | None = None, first: int = 50) -> list[str]:
    page = search.page_of(question, tenant_id=tenant_id, window=Window(first=first))
    return [row.name for row in page.items]


def found(text: str, **more: Any) -> list[str]:
    return names(Question(text=text, **more))


def test_a_name_counts_more_than_a_tagline_and_that_more_than_a_description() -> None:
    put(
        make.row(1, name="First", description="all about cars"),
        make.row(2, name="Second", tagline="cars"),
        make.row(3, name="Cars"),
        make.row(4, name="Boats"),
    )
    assert found("cars") == ["Cars", "Second", "First"]


def test_words_are_found_in_their_inflections_and_beginnings() -> None:
    put(make.row(1, name="Cleaning pipelines", description="Validates incoming orders"))
    for text in ("cleaning", "CLEAN", "pipeline", "pipel", "validating", "order", "clean pipe"):
        assert found(text) == ["Cleaning pipelines"], text


def test_every_word_must_be_found() -> None:
    put(make.row(1, name="Cars pipeline"), make.row(2, name="Boats pipeline"))
    assert found("cars pipeline") == ["Cars pipeline"]
    assert found("the cars") == ["Cars pipeline"]
    assert found("cars boats") == []


def test_tags_node_types_and_publisher_are_found() -> None:
    put(make.row(1, name="One", keywords="finance ml train Acme"))
    assert [found(text) for text in ("finance", "train", "acme")] == [["One"]] * 3


@pytest.mark.parametrize(
    "text", ["'", '"', "a' | 'b", "cars & !", "(((", "\\", "%", ":*", "\x00", "x" * 5_000, "🚗"]
)
def test_no_text_breaks_the_search(text: str) -> None:
    put(make.row(1, name="Cars"))
    found(text)
    facets.suggest(text, tenant_id=None, limit=5)


def test_popularity_decides_among_equals() -> None:
    put(make.row(1, name="Cars a", popularity=10), make.row(2, name="Cars b", popularity=9_000))
    assert found("cars") == ["Cars b", "Cars a"]


def test_a_misspelt_word_is_mended_only_when_the_mended_one_finds() -> None:
    put(make.row(1, name="Quarantine pipeline"))
    for typed in ("quarentine", "quarantne pipline"):
        question = Question(text=typed)
        assert names(question) == []
        mended = search.did_you_mean(question, tenant_id=None)
        assert mended is not None
        assert found(mended) == ["Quarantine pipeline"]
    assert search.did_you_mean(Question(text="xyzzy"), tenant_id=None) is None


def test_words_of_private_listings_are_not_suggested() -> None:
    put(make.row(1, name="Clandestine", audience=THEIRS))
    assert not SearchWord.objects.exists()
    assert search.did_you_mean(Question(text="clandestin"), tenant_id=None) is None
    assert facets.suggest("cland", tenant_id=None, limit=5) == []


def test_only_the_publisher_and_the_platform_write_rows_and_words() -> None:
    put(make.row(1, name="Cars", publisher_tenant_id=THEIRS))
    with scope.tenant(uuid.UUID(int=8)):
        assert SearchRow.objects.update(name="Theirs") == 0
        assert SearchRow.objects.all().delete()[0] == 0
        assert SearchWord.objects.update(listings=9) == 0
        assert SearchWord.objects.all().delete()[0] == 0
        with pytest.raises(DatabaseError), transaction.atomic():
            make.row(2, publisher_tenant_id=THEIRS).save(force_insert=True)
    assert found("cars") == ["Cars"]
    with scope.tenant(THEIRS):
        assert SearchRow.objects.update(tagline="Ours") == 1


def test_words_that_are_gone_are_forgotten() -> None:
    put(make.row(1, name="Quarantine"))
    with scope.platform():
        SearchRow.objects.all().delete()
        search_index.recount_words()
    assert not SearchWord.objects.exists()


def test_a_private_listing_is_found_by_its_organization_alone() -> None:
    put(
        make.row(1, name="Public cars"),
        make.row(2, name="Private cars", audience=THEIRS, publisher_tenant_id=THEIRS),
    )
    both = ["Private cars", "Public cars"]
    assert sorted(names(Question(text="cars"), tenant_id=THEIRS)) == both
    assert found("cars") == ["Public cars"]
    assert names(Question(text="cars"), tenant_id=uuid.UUID(int=8)) == ["Public cars"]
    assert names(Question(registry=Registry.MINE), tenant_id=THEIRS) == ["Private cars"]
    assert names(Question(registry=Registry.PUBLIC), tenant_id=THEIRS) == ["Public cars"]
    assert names(Question(registry=Registry.MINE)) == []


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ({"category": "RAG"}, {"a"}),
        ({"tags": ("cars",)}, {"a", "b"}),
        ({"tags": ("cars", "etl")}, {"b"}),
        ({"min_rating": 4.0}, {"b"}),
        ({"max_price": 0}, {"a", "c"}),
        ({"max_price": 49.0}, {"a", "b", "c"}),
        ({"price_min_minor": 1}, {"b"}),
        ({"publisher": "globex"}, {"c"}),
        ({"verified_only": True}, {"c"}),
        ({"licenses": ("Apache-2.0",)}, {"c"}),
        ({"node_types": ("ml.train",)}, {"a"}),
        ({"only_node_types": ("ml.train", "data.sql")}, {"a", "b", "c"}),
        ({"only_node_types": ("data.sql",)}, {"b", "c"}),
        ({"pricing_models": ("ONE_TIME",)}, {"b"}),
        ({"verdict_at_least": "PASSED"}, {"a", "c"}),
        ({"verdict_at_least": "WARNINGS"}, {"a", "b", "c"}),
        ({"min_installs": 5}, {"c"}),
        ({"platform": "0.1.0"}, {"a", "b"}),
        ({"locale": "de"}, {"b"}),
    ],
)
def test_filters(filters: dict[str, Any], expected: set[str]) -> None:
    put(
        make.row(1, name="a", category="RAG", tags=["cars"], node_types=["ml.train"]),
        make.row(
            2, name="b", tags=["cars", "etl"], rating=4_200, price_minor=4_900, locale="de",
            pricing_model="ONE_TIME", verdict="WARNINGS", node_types=["data.sql"], platform=">=0.1",
        ),
        make.row(
            3, name="c", publisher_handle="globex", is_verified=True, license="Apache-2.0",
            downloads=9, platform="^2",
        ),
    )  # fmt: skip
    assert set(names(Question(**filters))) == expected


def test_every_order_has_its_first() -> None:
    put(
        make.row(1, name="a", popularity=3, trending=1, rating_score=1, price_minor=5),
        make.row(2, name="b", popularity=1, trending=3, rating_score=2, price_minor=9),
        make.row(3, name="c", popularity=2, trending=2, rating_score=3, price_minor=1),
    )
    expected = {
        Sort.RELEVANCE: "acb",
        Sort.POPULARITY: "acb",
        Sort.TRENDING: "bca",
        Sort.RATING: "cba",
        Sort.NEWEST: "cba",
        Sort.RECENTLY_UPDATED: "cba",
        Sort.PRICE_ASC: "cab",
        Sort.PRICE_DESC: "bac",
        Sort.NAME: "abc",
    }
    assert {sort: "".join(names(Question(sort=sort))) for sort in Sort} == expected


def walk(question: Question, *, size: int, backwards: bool = False) -> list[uuid.UUID]:
    seen: list[uuid.UUID] = []
    cursor = None
    while True:
        window = Window(last=size, before=cursor) if backwards else Window(first=size, after=cursor)
        page = search.page_of(question, tenant_id=None, window=window)
        ids = [row.listing_id for row in page.items]
        seen = ids + seen if backwards else seen + ids
        more = page.has_previous if backwards else page.has_next
        if not more:
            return seen
        cursor = page.cursors[0] if backwards else page.cursors[-1]


@pytest.mark.parametrize("sort", list(Sort))
@pytest.mark.parametrize("text", ["", "flow"])
def test_pages_lose_and_repeat_nothing_over_ties(sort: Sort, text: str) -> None:
    chance = random.Random(7)
    put(
        *(
            make.row(
                n // 10, name=chance.choice(["Flow", "Flow of things", "A flow of flow"]),
                popularity=chance.randint(0, 3), trending=chance.randint(0, 2),
                rating_score=chance.randint(0, 2), price_minor=chance.randint(0, 2),
            )
            for n in range(300)
        )
    )  # fmt: skip
    question = Question(text=text, sort=sort)
    forwards = walk(question, size=7)
    assert (len(forwards), len(set(forwards))) == (300, 300)
    assert walk(question, size=11, backwards=True) == forwards


def test_a_cursor_belongs_to_its_question_and_organization() -> None:
    put(*(make.row(n, name="Cars") for n in range(5)))
    question = Question(text="cars")
    page = search.page_of(question, tenant_id=None, window=Window(first=2))
    window = Window(first=2, after=page.cursors[-1])
    others: Iterable[tuple[Question, uuid.UUID | None]] = (
        (Question(text="boats"), None),
        (Question(text="cars", sort=Sort.NAME), None),
        (question, THEIRS),
    )
    for other, tenant_id in others:
        with pytest.raises(Refusal):
            search.page_of(other, tenant_id=tenant_id, window=window)


def test_facets_count_the_result() -> None:
    put(
        make.row(1, name="Cars a", category="RAG", tags=["x", "y"], rating=4_200),
        make.row(2, name="Cars b", category="RAG", tags=["x"], rating=3_900),
        make.row(3, name="Boats", category="OTHER", tags=["x"]),
    )
    counted = {
        facet.name: [(bucket.value, bucket.count) for bucket in facet.buckets]
        for facet in facets.facets_of(Question(text="cars"), list(FacetName), tenant_id=None)
    }
    assert counted[FacetName.CATEGORY] == [("RAG", 2)]
    assert counted[FacetName.TAG] == [("x", 2), ("y", 1)]
    assert counted[FacetName.RATING] == [("3", 1), ("4", 1)]
    assert counted[FacetName.LICENSE] == [("MIT", 2)]


def test_suggestions_begin_with_what_was_typed() -> None:
    put(make.row(1, name="Cars pipeline", tags=["carbon"], keywords="carbon", popularity=5))
    suggested = facets.suggest("car", tenant_id=None, limit=8)
    assert [(one.kind, one.text) for one in suggested] == [
        (SuggestionKind.WORKFLOW, "Cars pipeline"),
        (SuggestionKind.TAG, "carbon"),
        (SuggestionKind.QUERY, "carbon"),
        (SuggestionKind.QUERY, "cars"),
    ]


def plan_of(question: Question) -> str:
    rows, order = search._ordered(search.matching(question, tenant_id=None), question)
    return str(rows.order_by(*order)[:21].explain())


def thousands(count: int) -> Iterator[SearchRow]:
    words = [f"word{n}" for n in range(500)]
    chance = random.Random(3)
    for n in range(count):
        yield make.row(
            n,
            name=" ".join(chance.sample(words, 3)),
            popularity=chance.randint(0, 10_000),
            price_minor=chance.randint(0, 10_000),
            tags=[f"tag{n % 200}"],
            category=chance.choice(["RAG", "OTHER", "AGENTIC"]),
            description=" ".join(chance.sample(words, 20)),
            publisher_handle=f"publisher{n % 300}",
        )


PLANS = {
    "search_text_idx": Question(text="word7 word8"),
    "search_tags_idx": Question(tags=("tag7",)),
    "search_popularity_idx": Question(),
    "search_category_idx": Question(category="RAG"),
    "search_newest_idx": Question(sort=Sort.NEWEST),
    "search_price_idx": Question(sort=Sort.PRICE_ASC),
    "search_publisher_idx": Question(publisher="publisher7", sort=Sort.NEWEST),
}


@pytest.mark.django_db(transaction=True)
def test_each_question_is_answered_by_its_index() -> None:
    put(*thousands(5_000))
    # Statistics are the owner's to take, and only of what is committed.
    with psycopg.connect(database.url("owner"), autocommit=True) as owner:
        owner.execute("ANALYZE marketplace_search")
    plans = {index: plan_of(question) for index, question in PLANS.items()}
    wrong = {index: plan for index, plan in plans.items() if index not in plan}
    assert wrong == {}
