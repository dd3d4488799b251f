"""What workflows does for the apps below: it names the artifacts its drafts still need."""

from __future__ import annotations

from apps.artifacts.roots import register_root
from apps.workflows.store import artifacts_in_drafts

register_root("drafts", artifacts_in_drafts)
