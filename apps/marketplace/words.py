"""A search text as words: what is asked of the index, and which words of a result to mark."""

from __future__ import annotations

import html
import re
from collections.abc import Sequence

MAX_QUERY = 200
MAX_WORDS = 12
SNIPPET = 160
_WORD = re.compile(r"\w+", re.UNICODE)


def words_of(text: str) -> tuple[str, ...]:
    """The words of a query in lower case, at most twelve, signs dropped."""
    return tuple(word.lower() for word in _WORD.findall(text[:MAX_QUERY])[:MAX_WORDS])


def highlight(text: str, words: Sequence[str]) -> str | None:
    """Escaped HTML of `text` with `<mark>` around what matches; None when nothing does."""
    if not words:
        return None
    pattern = re.compile(
        r"\b(?:" + "|".join(re.escape(_stem(word)) for word in words) + r")\w*", re.IGNORECASE
    )
    first = pattern.search(text)
    if first is None:
        return None
    start, end = _snippet(text, first.start())
    pieces, position = [], start
    for match in pattern.finditer(text, start, end):
        pieces.append(html.escape(text[position : match.start()]))
        pieces.append(f"<mark>{html.escape(match.group())}</mark>")
        position = match.end()
    pieces.append(html.escape(text[position:end]))
    return ("… " if start else "") + "".join(pieces) + (" …" if end < len(text) else "")


def _stem(word: str) -> str:
    """The part of a word that its other forms share, roughly: the index stems properly."""
    for ending in ("ations", "ation", "ings", "ing", "ies", "es", "ed", "s"):
        if word.endswith(ending) and len(word) - len(ending) >= 4:
            return word.removesuffix(ending)
    return word


def _snippet(text: str, found_at: int) -> tuple[int, int]:
    """A stretch of the text around a place, cut at spaces."""
    if len(text) <= SNIPPET:
        return 0, len(text)
    start = max(0, found_at - SNIPPET // 3)
    if start:
        start = text.find(" ", start, found_at) + 1 or start
    end = min(len(text), start + SNIPPET)
    if end < len(text):
        end = text.rfind(" ", found_at, end) if " " in text[found_at:end] else end
    return start, max(end, min(found_at + 1, len(text)))
