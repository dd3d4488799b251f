"""What workflows announces: a draft was made, saved, put away, taken out, deployed."""

from __future__ import annotations

import uuid
from dataclasses import dataclass

from apps.kit.events import Event


@dataclass(frozen=True, kw_only=True)
class WorkflowEvent(Event):
    """The base: which workflow of which tenant."""

    tenant_id: uuid.UUID
    workflow_id: uuid.UUID


@dataclass(frozen=True, kw_only=True)
class WorkflowCreated(WorkflowEvent):
    """A workflow was drawn, cloned or installed."""


@dataclass(frozen=True, kw_only=True)
class DraftSaved(WorkflowEvent):
    """The draft is at a new revision."""

    revision: int


@dataclass(frozen=True, kw_only=True)
class WorkflowArchived(WorkflowEvent):
    """It starts no more runs."""


@dataclass(frozen=True, kw_only=True)
class WorkflowRestored(WorkflowEvent):
    """It is back from the archive."""


@dataclass(frozen=True, kw_only=True)
class WorkflowDeployed(WorkflowEvent):
    """A version stands in production."""

    version: str
