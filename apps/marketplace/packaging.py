"""A release as a package: its manifest, its digest, its size, whether it is intact."""

from __future__ import annotations

import hashlib
import hmac
import re
import unicodedata
from collections.abc import Mapping
from typing import Any

import rfc8785

MAX_SLUG = 60


def size_of(document: Mapping[str, Any]) -> int:
    """Bytes of the document as it is shipped."""
    return len(rfc8785.dumps(dict(document)))


def digest_of(
    document: Mapping[str, Any],
    *,
    publisher: str,
    slug: str,
    version: str,
    requirements: Mapping[str, Any],
) -> str:
    """SHA-256 over everything an installer relies on: what it is, whose, and what it may do."""
    manifest: Any = {
        "publisher": publisher,
        "slug": slug,
        "version": version,
        "document": dict(document),
        "requirements": dict(requirements),
    }
    return "sha256:" + hashlib.sha256(rfc8785.dumps(manifest)).hexdigest()


def is_intact(digest: str, computed: str) -> bool:
    """Whether two digests are the same."""
    return hmac.compare_digest(digest, computed)


def slug_of(name: str) -> str:
    """A slug from a name: ASCII letters, digits and hyphens; `workflow` when nothing is left."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:MAX_SLUG].strip("-") or "workflow"
