"""Publishers as the marketplace shows them."""

from __future__ import annotations

import datetime as dt

import strawberry
import strawberry_django
from strawberry import relay

from apps.kit.graphql.fields import field
from apps.kit.graphql.nodes import node_loader
from apps.kit.graphql.scalars import URL
from apps.marketplace import models
from apps.marketplace.graphql.facts import PublisherVerification
from apps.marketplace.graphql.shelf import ShelfType
from apps.marketplace.terms import Verification


@strawberry_django.type(models.Publisher, name="Author", description="A publisher.")
class Author(ShelfType, relay.Node):
    """An organization as the marketplace shows it."""

    handle: str
    name: str
    joined_at: dt.datetime

    @field()
    def avatar_url(self) -> URL | None:
        """No pictures yet."""
        return None

    @field()
    def website_url(self, root: strawberry.Parent[models.Publisher]) -> URL | None:
        """Where they are at home."""
        return URL(root.website_url) if root.website_url else None

    @field()
    def bio(self, root: strawberry.Parent[models.Publisher]) -> str | None:
        """What they say of themselves."""
        return root.bio or None

    @field()
    def verification(self, root: strawberry.Parent[models.Publisher]) -> PublisherVerification:
        """How well the platform knows them."""
        return PublisherVerification(
            level=Verification(root.verification),
            verified_domains=[],
            verified_at=root.verified_at,
        )

    @field()
    def is_organization(self) -> bool:
        """Every publisher is an organization."""
        return True


# Publishers that show something, and one's own.
node_loader("Author", lambda keys: models.Publisher.objects.filter(pk__in=keys))
