"""What versions does for the apps below: it names the artifacts its documents still need."""

from __future__ import annotations

from apps.artifacts.roots import register_root
from apps.versions.store import artifacts_in_versions

register_root("versions", artifacts_in_versions)
