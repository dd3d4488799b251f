"""Search results, and the namespace of the marketplace's reads."""

from __future__ import annotations

import datetime as dt
import time
import uuid

import strawberry

from apps.kit.errors import Refusal
from apps.kit.graphql.connections import (
    BoundedCount,
    Edge,
    PageInfo,
    bounded_count,
    exactly,
    window,
)
from apps.kit.graphql.fields import field
from apps.kit.graphql.money import MoneyInput
from apps.kit.graphql.nodes import key_of
from apps.kit.graphql.scalars import SemVer
from apps.kit.pages import DEFAULT_PAGE, MAX_PAGE, Page
from apps.marketplace import facets, models, search
from apps.marketplace.facets import FacetName, SuggestionKind
from apps.marketplace.graphql.listings import MarketplaceWorkflow, load_listing
from apps.marketplace.graphql.shelf import listings_in_order
from apps.marketplace.graphql.terms import TrendWindow
from apps.marketplace.search import Question, Registry, Sort
from apps.marketplace.terms import Category, PricingModel
from apps.marketplace.words import highlight
from apps.security_scan.scanner import Verdict
from apps.tenancy.graphql.context import Info
from apps.workflows.graph import catalogue

FACETS = [
    FacetName.CATEGORY,
    FacetName.TAG,
    FacetName.PRICING_MODEL,
    FacetName.RATING,
    FacetName.LICENSE,
]
CATEGORIES = {
    Category.RAG: ("Retrieval", "Ask questions of your own documents."),
    Category.AGENTIC: ("Agents", "Several steps of reasoning with tools."),
    Category.MACHINE_LEARNING: ("Machine learning", "Train, evaluate and serve models."),
    Category.DATA_PIPELINE: ("Data pipelines", "Bring, clean and move data."),
    Category.INTEGRATION: ("Integration", "Connect other systems."),
    Category.MONITORING: ("Monitoring", "Watch, measure and warn."),
    Category.INDUSTRY_TEMPLATE: ("Industry templates", "Whole solutions for a trade."),
    Category.OTHER: ("Other", "Everything else."),
}


@strawberry.input
class MoneyRangeInput:
    """Prices between two amounts of one currency."""

    min: MoneyInput | None = None
    max: MoneyInput | None = None


@strawberry.input
class WorkflowSearchFilter:
    """Further filters of a search."""

    publisher: str | None = None
    publisher_verified_only: bool | None = False
    registry: Registry | None = Registry.PUBLIC_AND_MINE
    pricing_models: list[PricingModel] | None = None
    price_between: MoneyRangeInput | None = None
    licenses: list[str] | None = None
    node_types: list[str] | None = None
    compatible_with_platform: SemVer | None = None
    compatible_with_my_tenant: bool | None = False
    scan_verdict_at_least: Verdict | None = Verdict.PASSED
    min_installs: int | None = None
    updated_after: dt.datetime | None = None
    locale: str | None = None
    semantic: bool | None = True


@strawberry.type
class Highlight:
    """Where a result matches: escaped HTML with `<mark>`."""

    field: str
    html: str


@strawberry.type
class FacetBucket:
    """One value and how many results have it."""

    value: str
    label: str
    count: int
    selected: bool


@strawberry.type
class Facet:
    """One way to narrow the result."""

    name: FacetName
    buckets: list[FacetBucket]
    is_sampled: bool


@strawberry.type
class WorkflowSearchEdge(Edge[MarketplaceWorkflow]):
    """One result."""

    score: float | None
    highlights: list[Highlight]


@strawberry.type
class WorkflowSearchResult:
    """A page of results."""

    edges: list[WorkflowSearchEdge]
    page_info: PageInfo
    took_ms: int
    question: strawberry.Private[Question]

    @field()
    def nodes(self) -> list[MarketplaceWorkflow]:
        """The edges' nodes, for clients that need no cursors."""
        return [edge.node for edge in self.edges]

    @field()
    def total_count(self, info: Info) -> BoundedCount:
        """All results, counted up to a bound."""
        return bounded_count(search.matching(self.question, tenant_id=info.context.actor.tenant_id))

    @field(points=10)
    def facets(self, info: Info, names: list[FacetName] | None = FACETS) -> list[Facet]:
        """The result counted by each name."""
        tenant_id = info.context.actor.tenant_id
        counted = facets.facets_of(self.question, names or FACETS, tenant_id=tenant_id)
        return [_facet(one, self.question) for one in counted]

    @field()
    def did_you_mean(self, info: Info) -> str | None:
        """Set when the query found nothing and a close spelling does."""
        if self.edges or not self.question.words:
            return None
        return search.did_you_mean(self.question, tenant_id=info.context.actor.tenant_id)


@strawberry.type
class CategorySummary:
    """A drawer of the shelf."""

    category: Category
    title: str
    description: str
    listing_count: BoundedCount


@strawberry.type
class Recommendation:
    """Something worth a look."""

    workflow: MarketplaceWorkflow
    reason: str
    score: float


@strawberry.type
class SearchSuggestion:
    """What a beginning may become."""

    text: str
    kind: SuggestionKind
    workflow: MarketplaceWorkflow | None


def search_workflows(  # noqa: PLR0913 - the specification's arguments
    info: Info,
    *,
    query: str | None = None,
    category: Category | None = None,
    tags: list[str | None] | None = None,
    min_rating: float | None = None,
    max_price: float | None = None,
    sort: Sort | None = None,
    filter: WorkflowSearchFilter | None = None,
    first: int | None = 20,
    after: str | None = None,
    last: int | None = None,
    before: str | None = None,
) -> WorkflowSearchResult | None:
    """Find workflows on the shelf."""
    started = time.perf_counter()
    question = _question(
        filter,
        text=query or "",
        category=category.value if category else None,
        tags=tuple(tag for tag in tags or [] if tag),
        min_rating=min_rating,
        max_price=max_price,
        sort=sort or Sort.RELEVANCE,
    )
    page = search.page_of(
        question,
        tenant_id=info.context.actor.tenant_id,
        window=window(first=first, after=after, last=last, before=before),
    )
    return _result(question, page, started)


def get_workflow(id: strawberry.ID) -> MarketplaceWorkflow | None:
    """A workflow on the shelf by its id (global, or a bare UUID)."""
    return load_listing(key_of(id, "MarketplaceWorkflow", noun="workflow"))


@strawberry.type(name="WorkflowMarketplace", description="The product specification's namespace.")
class Marketplace:
    """The same reads are on Query; writes are on Mutation."""

    search_workflows = field(points=2, multipliers=("first", "last"))(search_workflows)
    get_workflow = field()(get_workflow)

    @field(points=2)
    def categories(self, info: Info) -> list[CategorySummary]:
        """The drawers of the shelf."""
        counts = facets.category_counts(tenant_id=info.context.actor.tenant_id)
        return [
            CategorySummary(
                category=category,
                title=title,
                description=description,
                listing_count=_count(counts.get(category, 0)),
            )
            for category, (title, description) in CATEGORIES.items()
        ]

    @field(points=2, multipliers=("first",))
    def featured(self, info: Info, first: int | None = 12) -> list[MarketplaceWorkflow]:
        """The best known."""
        return _best(info, first, "-popularity")

    @field(points=2, multipliers=("first",))
    def trending(
        self, info: Info, window: TrendWindow | None = TrendWindow.WEEK, first: int | None = 12
    ) -> list[MarketplaceWorkflow]:
        """Those with the most new users; counted over 30 days whatever the window."""
        return _best(info, first, "-trending")

    @field(points=3, multipliers=("first",))
    def recommendations(
        self, info: Info, for_workflow_id: strawberry.ID | None = None, first: int | None = 8
    ) -> list[Recommendation]:
        """The best known, until installs of similar tenants can be compared."""
        return [
            Recommendation(workflow=one, reason="Popular on the marketplace", score=0.0)
            for one in _best(info, first, "-popularity")
        ]

    @field(points=2, multipliers=("first",))
    def suggest(self, info: Info, prefix: str, first: int | None = 8) -> list[SearchSuggestion]:
        """What a beginning may become."""
        found = facets.suggest(prefix, tenant_id=info.context.actor.tenant_id, limit=_size(first))
        rows = listings_in_order(one.listing_id for one in found if one.listing_id)
        by_id = {row.pk: row for row in rows}
        return [
            SearchSuggestion(
                text=one.text,
                kind=one.kind,
                workflow=MarketplaceWorkflow.maybe(by_id.get(one.listing_id or NOTHING)),
            )
            for one in found
        ]


def _question(given: WorkflowSearchFilter | None, **asked: object) -> Question:
    if given is None:
        return Question(**asked)  # type: ignore[arg-type]
    prices = given.price_between
    compatible = given.compatible_with_my_tenant
    return Question(
        **asked,  # type: ignore[arg-type]
        publisher=given.publisher,
        verified_only=bool(given.publisher_verified_only),
        registry=given.registry or Registry.PUBLIC_AND_MINE,
        pricing_models=tuple(one.value for one in given.pricing_models or []),
        price_min_minor=prices.min.amount_minor if prices and prices.min else None,
        price_max_minor=prices.max.amount_minor if prices and prices.max else None,
        licenses=tuple(given.licenses or []),
        node_types=tuple(given.node_types or []),
        only_node_types=tuple(one.type for one in catalogue.all_types()) if compatible else None,
        platform=given.compatible_with_platform,
        verdict_at_least=given.scan_verdict_at_least and given.scan_verdict_at_least.value,
        min_installs=given.min_installs,
        updated_after=given.updated_after,
        locale=given.locale,
    )


def _result(
    question: Question, page: Page[models.SearchRow], started: float
) -> WorkflowSearchResult:
    listings = {row.pk: row for row in listings_in_order(row.listing_id for row in page.items)}
    edges = [
        WorkflowSearchEdge(
            cursor=cursor,
            node=MarketplaceWorkflow.of(listings[row.listing_id]),
            score=float(getattr(row, "score", 0)) or None,
            highlights=_highlights(row, question.words),
        )
        for row, cursor in zip(page.items, page.cursors, strict=True)
        if row.listing_id in listings
    ]
    return WorkflowSearchResult(
        edges=edges,
        page_info=PageInfo(
            has_next_page=page.has_next,
            has_previous_page=page.has_previous,
            start_cursor=page.cursors[0] if page.cursors else None,
            end_cursor=page.cursors[-1] if page.cursors else None,
        ),
        took_ms=round((time.perf_counter() - started) * 1_000),
        question=question,
    )


def _highlights(row: models.SearchRow, words: tuple[str, ...]) -> list[Highlight]:
    marked = ((name, highlight(getattr(row, name), words)) for name in _MARKED)
    return [Highlight(field=name, html=html) for name, html in marked if html]


NOTHING = uuid.UUID(int=0)
_MARKED = ("name", "tagline", "description")


def _facet(counted: facets.Facet, question: Question) -> Facet:
    selected = {
        FacetName.CATEGORY: (question.category,),
        FacetName.TAG: question.tags,
        FacetName.PRICING_MODEL: question.pricing_models,
        FacetName.LICENSE: question.licenses,
        FacetName.PUBLISHER: (question.publisher,),
        FacetName.NODE_TYPE: question.node_types,
    }.get(counted.name, ())
    return Facet(
        name=counted.name,
        is_sampled=counted.is_sampled,
        buckets=[
            FacetBucket(
                value=one.value,
                label=_label(counted.name, one.value),
                count=one.count,
                selected=one.value in selected,
            )
            for one in counted.buckets
        ],
    )


def _label(name: FacetName, value: str) -> str:
    if name is FacetName.CATEGORY:
        return CATEGORIES[Category(value)][0]
    if name is FacetName.RATING:
        return f"{value} and more"
    return value


def _best(info: Info, first: int | None, order: str) -> list[MarketplaceWorkflow]:
    rows = models.SearchRow.objects.found_by(info.context.actor.tenant_id)
    ids = rows.order_by(order, "-listing_id").values_list("listing_id", flat=True)[: _size(first)]
    return [MarketplaceWorkflow.of(row) for row in listings_in_order(ids)]


def _count(number: int) -> BoundedCount:
    return exactly(number) if number <= 1_000 else BoundedCount(value=1_000, is_exact=False)


def _size(first: int | None) -> int:
    if first is None:
        return DEFAULT_PAGE
    if not 1 <= first <= MAX_PAGE:
        raise Refusal(f"A page has 1 to {MAX_PAGE} rows.", path=("first",))
    return first
