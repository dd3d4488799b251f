"""Workflows and their drafts: one row each, the draft beside what lists show of it."""

from __future__ import annotations

from typing import Any, ClassVar

from django.db import models

from apps.kit.clock import now
from apps.tenancy.managers import TenantManager
from apps.tenancy.models import TenantModel, tenant_constraints
from apps.workflows.graph import document as language
from apps.workflows.graph.document import Document


class WorkflowType(models.TextChoices):
    """The API's names; the document's are the values."""

    RAG = "rag", "RAG"
    AGENTIC = "agentic", "Agentic"
    ML = "ml", "Machine learning"
    DATA_PIPELINE = "dataPipeline", "Data pipeline"


class WorkflowStatus(models.TextChoices):
    """PUBLISHED: a version is deployed to production."""

    DRAFT = "DRAFT"
    PUBLISHED = "PUBLISHED"
    ARCHIVED = "ARCHIVED"


class WorkflowQuerySet(models.QuerySet["Workflow"]):
    """Questions about workflows."""

    def living(self) -> WorkflowQuerySet:
        """Those not put away."""
        return self.filter(archived_at=None)

    def matching(
        self, *, query: str = "", type_: str | None = None, status: str | None = None
    ) -> WorkflowQuerySet:
        """What a list shows: names that begin so; archived ones only when asked for."""
        found = self.filter(status=status) if status else self.living()
        if query:
            found = found.filter(name__istartswith=query)
        return found.filter(type=type_) if type_ else found

    def with_people(self) -> WorkflowQuerySet:
        """Author and last editor in the same query."""
        return self.select_related("author", "draft_updated_by")

    def without_draft(self) -> WorkflowQuerySet:
        """For lists, which never show a megabyte of document per row."""
        return self.defer("draft_document")


class Workflow(TenantModel):
    """A workflow. Name, type and description repeat the draft's, so that lists need no document."""

    name = models.CharField(max_length=200)
    type = models.CharField(max_length=12, choices=WorkflowType)
    description = models.TextField(blank=True)
    status = models.CharField(
        max_length=9, choices=WorkflowStatus, default=WorkflowStatus.DRAFT.value
    )
    version = models.CharField(
        max_length=64, blank=True, help_text="In production, else the head of main."
    )
    draft_document = models.JSONField()
    draft_revision = models.PositiveIntegerField(default=1)
    draft_hash = models.CharField(max_length=71)
    draft_updated_at = models.DateTimeField(default=now)
    draft_updated_by = models.ForeignKey(
        "tenancy.User", null=True, on_delete=models.SET_NULL, related_name="+"
    )
    author = models.ForeignKey(
        "tenancy.User", null=True, on_delete=models.SET_NULL, related_name="+"
    )
    created_at = models.DateTimeField(default=now, editable=False)
    modified_at = models.DateTimeField(default=now)
    archived_at = models.DateTimeField(null=True)

    objects: ClassVar[Any] = TenantManager.from_queryset(WorkflowQuerySet)()

    class Meta(TenantModel.Meta):
        ordering = ("-id",)
        constraints: ClassVar[list[Any]] = [
            *tenant_constraints("workflow"),
            models.CheckConstraint(
                condition=(
                    models.Q(status="ARCHIVED", archived_at__isnull=False)
                    | (~models.Q(status="ARCHIVED") & models.Q(archived_at=None))
                ),
                name="workflow_archived_check",
            ),
        ]
        indexes: ClassVar[list[Any]] = [
            models.Index(fields=["tenant", "status", "-id"], name="workflow_status_idx"),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def document(self) -> Document:
        """The draft, migrated to today's schema version."""
        return language.parse(self.draft_document)
