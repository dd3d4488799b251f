"""Reads of executions."""

from __future__ import annotations

import strawberry

from apps.executions import models
from apps.executions.graphql.questions import StepQuestionConnection
from apps.executions.graphql.types import Execution
from apps.kit.errors import NotFound
from apps.kit.graphql.connections import window
from apps.kit.graphql.fields import field
from apps.kit.graphql.nodes import key_of
from apps.tenancy.actors import Permission
from apps.tenancy.graphql.context import Info


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

    @field(requires=Permission.WORKFLOWS_READ)
    def questions(
        self,
        info: Info,
        kind: models.QuestionKind | None = None,
        first: int | None = 20,
        after: str | None = None,
    ) -> StepQuestionConnection:
        """Steps that wait for a person's word, the oldest first; `resolveInDoubt` answers them."""
        rows = models.Question.objects.all()
        if kind is not None:
            rows = rows.filter(kind=kind.value)
        return StepQuestionConnection.of(
            rows,
            order=("id",),
            window=window(first=first, after=after),
            key=["questions", str(info.context.actor.tenant_id), kind and kind.value],
        )
