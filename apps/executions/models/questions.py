"""Steps that wait for a person's word, as long as they do: what lists and counts are made of."""

from __future__ import annotations

from typing import Any, ClassVar

from django.db import models

from apps.kit.clock import now
from apps.tenancy.models import TenantModel, tenant_constraints


class QuestionKind(models.TextChoices):
    """Why a person is asked; the names of the engine's WaitKind."""

    DOUBT = "DOUBT", "Effect in doubt"
    ESCALATION = "ESCALATION", "Escalated failure"


class Question(TenantModel):
    """A step in doubt, or one whose failure was escalated. The run's history has the truth."""

    run_id = models.UUIDField()
    workflow_id = models.UUIDField()
    path = models.TextField()
    attempt = models.IntegerField()
    kind = models.TextField(choices=QuestionKind)
    code = models.TextField()
    message = models.TextField()
    due_at = models.DateTimeField(null=True)
    created_at = models.DateTimeField(default=now)

    class Meta(TenantModel.Meta):
        db_table = "question"
        constraints: ClassVar[list[Any]] = [
            *tenant_constraints("question"),
            models.UniqueConstraint(
                fields=["tenant", "run_id", "path"], name="question_of_step_key"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.path}"
