"""Reads of executions."""

from __future__ import annotations

import strawberry

from apps.executions import models
from apps.executions.graphql.types import Execution
from apps.kit.errors import NotFound
from apps.kit.graphql.fields import field
from apps.kit.graphql.nodes import key_of
from apps.tenancy.actors import Permission


@strawberry.type
class Query:
    """Runs."""

    @field(requires=Permission.WORKFLOWS_READ)
    def execution(self, id: strawberry.ID) -> Execution | None:
        """A run by its id; null for one that is not visible here."""
        try:
            key = key_of(id, "Execution")
        except NotFound:
            return None
        return Execution.maybe(models.Run.objects.filter(pk=key).first())
