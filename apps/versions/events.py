"""What versions announces: a commit, a deployment, a question asked, a question answered."""

from __future__ import annotations

import uuid
from dataclasses import dataclass

from apps.kit.events import Event


@dataclass(frozen=True, kw_only=True)
class VersionCommitted(Event):
    """A numbered version of a workflow is frozen."""

    tenant_id: uuid.UUID
    workflow_id: uuid.UUID
    version_id: uuid.UUID
    version: str


@dataclass(frozen=True, kw_only=True)
class VersionDeployed(Event):
    """A version stands in an environment."""

    tenant_id: uuid.UUID
    workflow_id: uuid.UUID
    version_id: uuid.UUID
    environment_id: uuid.UUID


@dataclass(frozen=True, kw_only=True)
class ApprovalRequested(Event):
    """People are asked; `kind` and `subject` (a global id) say what for."""

    tenant_id: uuid.UUID
    approval_id: uuid.UUID
    kind: str
    subject: str


@dataclass(frozen=True, kw_only=True)
class ApprovalDecided(Event):
    """The last stage has spoken, or one of them has said no, or the question was withdrawn."""

    tenant_id: uuid.UUID
    approval_id: uuid.UUID
    kind: str
    subject: str
    status: str
    decided_by: uuid.UUID | None
    comment: str

    @property
    def approved(self) -> bool:
        """Whether the answer is yes."""
        return self.status == "APPROVED"
