"""Types of the artifacts."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Collection, Iterable

import strawberry
import strawberry_django
from django.conf import settings
from strawberry import relay

from apps.artifacts import models, policies
from apps.artifacts.links import download_path
from apps.kit.graphql.batch import related
from apps.kit.graphql.fields import field
from apps.kit.graphql.nodes import node_loader
from apps.kit.graphql.scalars import URL, BigInt
from apps.tenancy import scope
from apps.tenancy.graphql.types import TenantType


@strawberry_django.type(
    models.Artifact, name="Artifact", description="A stored object, named by its content."
)
class Artifact(TenantType, relay.Node):
    """What a step made and a history refers to."""

    digest: str
    media_type: str
    created_at: dt.datetime

    @field()
    def bytes(self, root: strawberry.Parent[models.Artifact]) -> BigInt:
        """Its size."""
        return BigInt(root.bytes)

    @field()
    def download_url(self, root: strawberry.Parent[models.Artifact]) -> URL:
        """Where a member's browser, or a program with its key, gets the content."""
        path = download_path(related(root, "tenant").slug, root.digest)
        return URL(f"{settings.PUBLIC_URL}{path}")


def _artifacts(keys: Collection[uuid.UUID]) -> Iterable[models.Artifact]:
    actor = scope.current().actor
    if actor is None or not policies.can_download(actor):
        return []
    return models.Artifact.objects.filter(pk__in=keys)


node_loader("Artifact", _artifacts)
