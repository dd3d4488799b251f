"""What names a stored object: the SHA-256 of its content, its media type and its size."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from apps.kit.errors import Refusal

_DIGEST: Final = re.compile(r"sha256:[0-9a-f]{64}")
_MEDIA_TYPE: Final = re.compile(r"[a-z0-9][a-z0-9!#$&^_.+-]*/[a-z0-9][a-z0-9!#$&^_.+-]*")
MAX_MEDIA_TYPE: Final = 120


@dataclass(frozen=True, kw_only=True)
class StoredObject:
    """An object as histories name it. `digest` is "sha256:" and 64 hex digits."""

    digest: str
    media_type: str
    bytes: int


def is_digest(text: str) -> bool:
    """Whether the text has the form of a digest; whether it is stored is another question."""
    return _DIGEST.fullmatch(text) is not None


def checked_media_type(text: str) -> str:
    """The media type without parameters, lower case, e.g. "text/csv"."""
    plain = text.partition(";")[0].strip().lower()
    if len(plain) > MAX_MEDIA_TYPE or not _MEDIA_TYPE.fullmatch(plain):
        raise Refusal(
            "A media type looks like text/csv or application/vnd.apache.parquet.",
            path=("mediaType",),
        )
    return plain
