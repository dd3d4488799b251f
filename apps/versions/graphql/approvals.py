"""Types of approvals: the question, its stages and votes."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Collection, Hashable, Mapping
from typing import Any

import strawberry
import strawberry_django
from strawberry import relay
from strawberry.scalars import JSON

from apps.kit.graphql.batch import batched, related
from apps.kit.graphql.connections import Connection, Edge
from apps.kit.graphql.fields import field
from apps.kit.graphql.mutations import Payload
from apps.kit.graphql.nodes import load_nodes, node_loader
from apps.tenancy import scope
from apps.tenancy.actors import Permission
from apps.tenancy.graphql.context import Info
from apps.tenancy.graphql.types import TenantType, User
from apps.versions import models, policies
from apps.versions.models import ApprovalKind, ApprovalStatus
from apps.workflows.graphql.types import person

strawberry.enum(ApprovalKind, name="ApprovalKind")
strawberry.enum(ApprovalStatus, name="ApprovalStatus")


@strawberry.type
class ApprovalDecision:
    """One vote."""

    by: User
    approve: bool
    comment: str | None
    at: dt.datetime


@strawberry.type
class ApprovalStage:
    """One round of votes."""

    name: str
    required: int
    decisions: list[ApprovalDecision]
    status: ApprovalStatus


@strawberry.type
class ApprovalComment:
    """What a voter had to say."""

    author: User
    body: str
    created_at: dt.datetime
    node_id: str | None = None


@strawberry_django.type(
    models.Approval, name="ApprovalRequest", description="A question to people, and its answer."
)
class ApprovalRequest(TenantType, relay.Node):
    """`diff` and `scan` come from the apps that know the subject."""

    title: str
    created_at: dt.datetime
    due_at: dt.datetime | None

    @field()
    def kind(self, root: strawberry.Parent[models.Approval]) -> ApprovalKind:
        """What is asked for."""
        return ApprovalKind(root.kind)

    @field(points=2)
    def subject(self, root: strawberry.Parent[models.Approval]) -> relay.Node | None:
        """What is guarded; null when it is gone or not visible to the caller."""
        found: relay.Node | None = batched(root, "subject", _subjects, root.subject)
        return found

    @field()
    def status(self, root: strawberry.Parent[models.Approval]) -> ApprovalStatus:
        """How it stands."""
        return ApprovalStatus(root.status)

    @field()
    def stage(self, root: strawberry.Parent[models.Approval]) -> int:
        """The stage that votes now, from 0."""
        return root.stage

    @field()
    def stages(self, root: strawberry.Parent[models.Approval]) -> list[ApprovalStage]:
        """All rounds of votes."""
        return [_stage(root, number) for number in range(len(root.stages))]

    @field()
    def requested_by(self, root: strawberry.Parent[models.Approval]) -> User:
        """Who asked."""
        return person(related(root, "requested_by"))

    @field()
    def comments(self, root: strawberry.Parent[models.Approval]) -> list[ApprovalComment]:
        """What voters had to say, the oldest first."""
        return comments_of(root)

    @field()
    def instructions(self, root: strawberry.Parent[models.Approval]) -> str | None:
        """What a step of a run says about its question."""
        return root.form.get("instructions") if root.kind == ApprovalKind.RUN_STEP else None

    @field()
    def form(self, root: strawberry.Parent[models.Approval]) -> JSON | None:
        """The JSON Schema of what a step of a run wants to know; null without a form."""
        schema = root.form.get("schema") if root.kind == ApprovalKind.RUN_STEP else None
        return JSON(schema) if schema else None

    @field()
    def viewer_can_decide(self, root: strawberry.Parent[models.Approval], info: Info) -> bool:
        """Whether the caller may vote in the present stage."""
        return policies.can_decide_approval(info.context.actor, root)


@strawberry.type
class ApprovalEdge(Edge[ApprovalRequest]):
    """One approval in a page."""


@strawberry.type
class ApprovalConnection(Connection[ApprovalRequest, ApprovalEdge]):
    """A page of approvals, the newest first."""


@strawberry.type
class ApprovalPayload(Payload):
    """The approval after the vote."""

    approval: ApprovalRequest | None = None


def comments_of(approval: models.Approval) -> list[ApprovalComment]:
    """What voters had to say, the oldest first."""
    return [
        ApprovalComment(author=User.of(vote.voter), body=vote.comment, created_at=vote.at)
        for vote in approval.votes.all()
        if vote.comment
    ]


def _stage(approval: models.Approval, number: int) -> ApprovalStage:
    stated = approval.stages[number]
    if number == approval.stage:
        status = ApprovalStatus(approval.status)
    else:
        passed = number < approval.stage
        status = ApprovalStatus.APPROVED if passed else ApprovalStatus.PENDING
    return ApprovalStage(
        name=stated["name"],
        required=stated["required"],
        status=status,
        decisions=[
            ApprovalDecision(
                by=User.of(vote.voter),
                approve=vote.approve,
                comment=vote.comment or None,
                at=vote.at,
            )
            for vote in approval.votes.all()
            if vote.stage == number
        ],
    )


def _subjects(rows: tuple[models.Approval, ...]) -> Mapping[Hashable, Any]:
    """One load for each kind of subject: the apps above have registered who loads it."""
    found: dict[Any, Any] = load_nodes(row.subject for row in rows)
    return found


def _load(keys: Collection[uuid.UUID]) -> list[models.Approval]:
    actor = scope.current().actor
    if actor is None or not actor.has(Permission.APPROVALS_DECIDE):
        return []
    found = models.Approval.objects.with_votes().filter(pk__in=keys)
    return [approval for approval in found if policies.can_see_approval(actor, approval)]


node_loader("ApprovalRequest", _load)
