"""Ratings and reviews as the API shows them. Nobody can write one yet: every answer is empty."""

from __future__ import annotations

import datetime as dt

import strawberry
from strawberry import relay

from apps.kit.graphql.connections import Connection, Edge, exactly
from apps.kit.graphql.scalars import URL, SemVer
from apps.kit.pages import Page
from apps.marketplace.graphql.publishers import Author
from apps.marketplace.graphql.terms import ReviewStatus

STARS = (5, 4, 3, 2, 1)


@strawberry.type
class ReviewAuthor:
    """Who wrote, as far as they are shown."""

    display_name: str
    tenant_name: str | None
    avatar_url: URL | None


@strawberry.type
class ReviewReply:
    """What the publisher answered."""

    body: str
    author: Author
    created_at: dt.datetime


@strawberry.type
class Review(relay.Node):
    """What a user says of a listing."""

    id: relay.NodeID[str]
    rating: int
    title: str | None
    body: str
    author: ReviewAuthor
    created_at: dt.datetime
    edited_at: dt.datetime | None
    is_verified_install: bool
    version_reviewed: SemVer | None
    runs_at_review: int | None
    helpful_count: int
    viewer_found_helpful: bool
    reply: ReviewReply | None
    status: ReviewStatus


@strawberry.type
class ReviewEdge(Edge[Review]):
    """One review in a page."""


@strawberry.type
class ReviewConnection(Connection[Review, ReviewEdge]):
    """A page of reviews."""

    @classmethod
    def empty(cls) -> ReviewConnection:
        """No reviews."""
        page: Page[Review] = Page(items=(), cursors=(), has_next=False, has_previous=False)
        return cls.from_page(page, count=lambda: exactly(0))


@strawberry.type
class RatingBucket:
    """How many gave so many stars."""

    stars: int
    count: int


@strawberry.type
class RatingSummary:
    """What the ratings of a listing amount to."""

    count: int
    mean: float
    bayesian: float = strawberry.field(description="(C·m + Σr)/(C + n)")
    wilson_lower_bound: float = strawberry.field(
        description="Lower 95 % bound of the share of 4 and 5 star reviews; the RATING sort."
    )
    histogram: list[RatingBucket]
    last_90_days: float | None = strawberry.field(name="last90Days")

    @classmethod
    def empty(cls) -> RatingSummary:
        """Nobody has rated."""
        return cls(
            count=0,
            mean=0.0,
            bayesian=0.0,
            wilson_lower_bound=0.0,
            histogram=[RatingBucket(stars=stars, count=0) for stars in STARS],
            last_90_days=None,
        )
