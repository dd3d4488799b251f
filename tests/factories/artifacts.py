"""Stored objects for tests, in the test's own directory."""

from __future__ import annotations

from pathlib import Path

from django.conf import settings

from apps.artifacts.actions import store_artifact
from apps.artifacts.reference import StoredObject
from apps.tenancy.scope import Scope, enter
from tests.factories.tenancy import Tenant


def artifact(
    of: Tenant, content: bytes = b"a,b\n1,2\n", *, media_type: str = "text/csv"
) -> StoredObject:
    """An object stored for a tenant."""
    with enter(Scope.of(of.owner)):
        return store_artifact(content, media_type=media_type)


def file_of(of: Tenant, stored: StoredObject) -> Path:
    """Where it lies."""
    name = stored.digest.removeprefix("sha256:")
    return Path(settings.DATA_DIR) / "artifacts" / of.id.hex / name[:2] / name
