"""Steps that wait for a person's decision, as a list."""

from __future__ import annotations

import datetime as dt
from collections.abc import Hashable, Mapping

import strawberry
import strawberry_django

from apps.executions import models
from apps.executions.engine.advice import advice
from apps.executions.engine.asking import EFFECT_IN_DOUBT
from apps.executions.engine.paths import node_of
from apps.executions.graphql.types import Execution
from apps.executions.models import QuestionKind
from apps.kit.graphql.batch import batched
from apps.kit.graphql.connections import Connection, Edge
from apps.kit.graphql.fields import field
from apps.kit.graphql.nodes import global_id
from apps.tenancy.graphql.types import TenantType

strawberry.enum(QuestionKind, name="StepQuestionKind")


@strawberry_django.type(
    models.Question, name="StepQuestion", description="A step that waits for a person's word."
)
class StepQuestion(TenantType):
    """It is there as long as the step waits; `resolveInDoubt` answers it."""

    path: str
    attempt: int
    code: str
    message: str

    @field()
    def kind(self, root: strawberry.Parent[models.Question]) -> QuestionKind:
        """Why a person is asked."""
        return QuestionKind(root.kind)

    @field()
    def node_run_id(self, root: strawberry.Parent[models.Question]) -> strawberry.ID:
        """The step, as `resolveInDoubt` takes it."""
        return strawberry.ID(global_id("NodeRun", f"{root.run_id}/{root.path}"))

    @field()
    def node_id(self, root: strawberry.Parent[models.Question]) -> str:
        """The node in the document."""
        return node_of(root.path)

    @field()
    def execution(self, root: strawberry.Parent[models.Question]) -> Execution | None:
        """The run that waits."""
        return Execution.maybe(batched(root, "asking_run", _runs, root.run_id))

    @field()
    def recovery(self, root: strawberry.Parent[models.Question]) -> str | None:
        """What to do."""
        is_doubt = root.kind == QuestionKind.DOUBT
        return advice(EFFECT_IN_DOUBT if is_doubt else root.code)

    @field()
    def asked_at(self, root: strawberry.Parent[models.Question]) -> dt.datetime:
        """Since when it waits."""
        return root.created_at

    @field()
    def due_at(self, root: strawberry.Parent[models.Question]) -> dt.datetime | None:
        """When the step's next rule decides instead; null: it waits as long as the run lives."""
        return root.due_at


@strawberry.type
class StepQuestionEdge(Edge[StepQuestion]):
    """One question in a page."""


@strawberry.type
class StepQuestionConnection(Connection[StepQuestion, StepQuestionEdge]):
    """Questions, the oldest first."""


def _runs(rows: tuple[models.Question, ...]) -> Mapping[Hashable, models.Run]:
    keys = {row.run_id for row in rows}
    return {row.pk: row for row in models.Run.objects.filter(pk__in=keys)}
