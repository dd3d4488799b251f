"""Reads of the artifacts."""

from __future__ import annotations

import strawberry

from apps.artifacts import models, policies
from apps.artifacts.graphql.types import Artifact
from apps.artifacts.reference import is_digest
from apps.kit.graphql.fields import field
from apps.tenancy.graphql.context import Info
from apps.tenancy.policies import require


@strawberry.type
class Query:
    """Stored objects, by the references that stand in runs."""

    @field()
    def artifact(self, info: Info, digest: str) -> Artifact | None:
        """The object that a reference `{"$artifact": digest}` in an output names."""
        require(policies.can_download(info.context.actor), "read what workflows made")
        if not is_digest(digest):
            return None
        return Artifact.maybe(models.Artifact.objects.filter(digest=digest).first())
