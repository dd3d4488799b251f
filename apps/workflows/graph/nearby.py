"""Which known name a misspelt one probably meant, found for a bounded price."""

from collections.abc import Iterable
from difflib import get_close_matches
from itertools import islice

MAX_CANDIDATES = 100
MAX_WORD = 64


def closest(word: str, names: Iterable[str], *, cutoff: float = 0.6) -> str | None:
    """The most similar of the names that begin alike; comparing all of thousands takes seconds."""
    if len(word) > MAX_WORD:
        return None
    alike = (name for name in names if name[:1].lower() == word[:1].lower())
    found = get_close_matches(word, list(islice(alike, MAX_CANDIDATES)), n=1, cutoff=cutoff)
    return found[0] if found else None


def meant(word: str, names: Iterable[str], *, otherwise: str, cutoff: float = 0.6) -> str:
    """The end of a sentence: "did you mean `x`?", or what to do instead."""
    close = closest(word, names, cutoff=cutoff)
    return f"did you mean `{close}`?" if close else otherwise
