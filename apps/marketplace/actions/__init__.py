"""Every write of the marketplace."""

from apps.marketplace.actions.installing import install_workflow
from apps.marketplace.actions.publishing import publish_release, rehearse
from apps.marketplace.actions.releases import (
    finish_scan,
    publish_approved,
    reject_release,
    yank_release,
)
from apps.marketplace.actions.statistics import count_first_run, fold_statistics

__all__ = [
    "count_first_run",
    "finish_scan",
    "fold_statistics",
    "install_workflow",
    "publish_approved",
    "publish_release",
    "rehearse",
    "reject_release",
    "yank_release",
]
