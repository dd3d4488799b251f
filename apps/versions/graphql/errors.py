"""How the API shows that a version's number is taken."""

from __future__ import annotations

import strawberry

from apps.kit.graphql.errors import UserError, register_error
from apps.kit.graphql.scalars import SemVer
from apps.versions.errors import VersionConflict


@strawberry.type
class VersionConflictError(UserError):
    """The number is not above the latest; the suggested one is."""

    latest_version: SemVer
    suggested_version: SemVer


register_error(
    VersionConflict,
    lambda refusal, shown: VersionConflictError(
        **shown,
        latest_version=SemVer(refusal.latest),
        suggested_version=SemVer(refusal.suggested),
    ),
    VersionConflictError,
)
