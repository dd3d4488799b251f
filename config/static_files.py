"""Static files that do not lie in the repository, and how an installation collects all of them."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Final

from whitenoise.storage import (  # type: ignore[import-untyped]
    CompressedManifestStaticFilesStorage,
)

_GRAPHIQL: Final = "graphene_django_graphiql_static"


def graphiql() -> Path:
    """Where a wheel keeps React, GraphiQL and graphql-ws; nothing of its Python is imported."""
    found = importlib.util.find_spec(_GRAPHIQL)
    if found is None or found.origin is None:
        message = f"{_GRAPHIQL} is not installed: run `make bootstrap`."
        raise RuntimeError(message)
    return Path(found.origin).parent / "static" / _GRAPHIQL


class Collected(CompressedManifestStaticFilesStorage):  # type: ignore[misc]
    """Names with a digest. The wheel leaves its source maps out, so nobody may look for them."""

    patterns = tuple(
        (names, tuple(one for one in found if "sourceMappingURL" not in str(one)))
        for names, found in CompressedManifestStaticFilesStorage.patterns
    )
