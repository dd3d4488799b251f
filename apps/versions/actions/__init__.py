"""Every write of versions."""

from apps.versions.actions.approvals import (
    Stage,
    cancel_approval,
    decide_approval,
    request_approval,
)
from apps.versions.actions.commits import (
    commit_version,
    restore_draft,
    restore_version,
    snapshot_draft,
)
from apps.versions.actions.deployments import deploy_version, version_to_run

__all__ = [
    "Stage",
    "cancel_approval",
    "commit_version",
    "decide_approval",
    "deploy_version",
    "request_approval",
    "restore_draft",
    "restore_version",
    "snapshot_draft",
    "version_to_run",
]
