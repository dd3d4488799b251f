"""The one table of approvals: what is asked, by whom, in which stages, and the votes."""

from __future__ import annotations

from typing import Any, ClassVar

from django.db import models

from apps.kit.clock import now
from apps.tenancy.constraints import TenantForeignKeyConstraint
from apps.tenancy.managers import TenantManager
from apps.tenancy.models import TenantModel, tenant_constraints


class ApprovalKind(models.TextChoices):
    """What is asked for; the API's names."""

    LISTING_PUBLISH = "LISTING_PUBLISH"
    VERSION_PUBLISH = "VERSION_PUBLISH"
    INSTALL = "INSTALL"
    DEPLOY = "DEPLOY"
    RUN_STEP = "RUN_STEP"
    REFUND = "REFUND"
    PUBLISHER_VERIFICATION = "PUBLISHER_VERIFICATION"


class ApprovalStatus(models.TextChoices):
    """PENDING is the only one that changes; NOT_REQUIRED is said of what has no approval."""

    NOT_REQUIRED = "NOT_REQUIRED"
    PENDING = "PENDING"
    APPROVED = "APPROVED"
    REJECTED = "REJECTED"
    CHANGES_REQUESTED = "CHANGES_REQUESTED"
    CANCELED = "CANCELED"


class ApprovalQuerySet(models.QuerySet["Approval"]):
    """Questions about approvals."""

    def waiting(self) -> ApprovalQuerySet:
        """Those nobody has decided."""
        return self.filter(status=ApprovalStatus.PENDING)

    def about(self, subject: str) -> ApprovalQuerySet:
        """All about one subject (a global id), newest first."""
        return self.filter(subject=subject).order_by("-id")

    def for_staff(self) -> ApprovalQuerySet:
        """Those the platform's staff decide."""
        return self.filter(by_platform=True)

    def with_votes(self) -> ApprovalQuerySet:
        """Requester, votes and voters in two queries."""
        votes = ApprovalVote.objects.select_related("voter").order_by("id")
        return self.select_related("requested_by").prefetch_related(
            models.Prefetch("votes", queryset=votes)
        )


class Approval(TenantModel):
    """A question to people. `subject` is a global id: approvals know nothing of what they guard."""

    kind = models.CharField(max_length=24, choices=ApprovalKind)
    subject = models.CharField(max_length=200)
    title = models.CharField(max_length=200)
    status = models.CharField(
        max_length=17, choices=ApprovalStatus, default=ApprovalStatus.PENDING.value
    )
    stage = models.PositiveSmallIntegerField(default=0)
    stages = models.JSONField(help_text='[{"name": …, "required": n}]')
    prevent_self_approval = models.BooleanField(default=True)
    by_platform = models.BooleanField(default=False, help_text="Decided by the platform's staff.")
    form = models.JSONField(default=dict, help_text="What is asked, and the answers given.")
    audience = models.JSONField(
        default=dict,
        db_default={},
        help_text='Who may decide, of those who may at all: {"users": [ids], "roles": [names]}.',
    )
    requested_by = models.ForeignKey(
        "tenancy.User", null=True, on_delete=models.SET_NULL, related_name="+"
    )
    created_at = models.DateTimeField(default=now, editable=False)
    due_at = models.DateTimeField(null=True)
    decided_at = models.DateTimeField(null=True)

    objects: ClassVar[Any] = TenantManager.from_queryset(ApprovalQuerySet)(platform=True)

    class Meta(TenantModel.Meta):
        ordering = ("-id",)
        constraints: ClassVar[list[Any]] = [
            *tenant_constraints("approval"),
            models.UniqueConstraint(
                fields=["tenant", "kind", "subject"],
                condition=models.Q(status="PENDING"),
                name="approval_pending_key",
            ),
        ]
        indexes: ClassVar[list[Any]] = [
            models.Index(fields=["tenant", "status", "-id"], name="approval_status_idx"),
            models.Index(
                fields=["-id"],
                condition=models.Q(status="PENDING", by_platform=True),
                name="approval_staff_queue_idx",
            ),
        ]

    def __str__(self) -> str:
        return self.title


class ApprovalVote(TenantModel):
    """One person's word in one stage."""

    approval = models.ForeignKey(
        Approval, on_delete=models.CASCADE, db_constraint=False, related_name="votes"
    )
    stage = models.PositiveSmallIntegerField()
    voter = models.ForeignKey("tenancy.User", on_delete=models.PROTECT, related_name="+")
    approve = models.BooleanField()
    comment = models.TextField(blank=True)
    at = models.DateTimeField(default=now, editable=False)

    objects: ClassVar[Any] = TenantManager(platform=True)

    class Meta(TenantModel.Meta):
        ordering = ("id",)
        constraints: ClassVar[list[Any]] = [
            *tenant_constraints("approval_vote"),
            models.UniqueConstraint(
                fields=["tenant", "approval", "stage", "voter"], name="approval_vote_voter_key"
            ),
            TenantForeignKeyConstraint(
                field="approval", to_table="versions_approval", name="approval_vote_approval_fk"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.voter_id}: {'yes' if self.approve else 'no'}"
