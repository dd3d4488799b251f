"""The rows of versions; other apps import the names from here."""

from apps.versions.models.approvals import (
    Approval,
    ApprovalKind,
    ApprovalStatus,
    ApprovalVote,
)
from apps.versions.models.versions import MAIN, Deployment, WorkflowVersion

__all__ = [
    "MAIN",
    "Approval",
    "ApprovalKind",
    "ApprovalStatus",
    "ApprovalVote",
    "Deployment",
    "WorkflowVersion",
]
