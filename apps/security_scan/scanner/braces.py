"""Where `{{ … }}` stands in a text, found in one pass whatever the text holds."""

from __future__ import annotations

from collections.abc import Callable, Iterator

OPEN, CLOSE = "{{", "}}"


def spans(text: str) -> Iterator[tuple[int, int]]:
    """Start and end of each expression, braces included; what is never closed is no expression."""
    position = 0
    while (start := text.find(OPEN, position)) >= 0:
        end = text.find(CLOSE, start + len(OPEN))
        if end < 0:
            return
        position = end + len(CLOSE)
        yield start, position


def insides(text: str) -> tuple[str, ...]:
    """What stands between the braces."""
    return tuple(text[start + len(OPEN) : end - len(CLOSE)] for start, end in spans(text))


def replaced(text: str, replace: Callable[[str], str]) -> str:
    """The text with each expression, braces included, replaced."""
    pieces, position = [], 0
    for start, end in spans(text):
        pieces += [text[position:start], replace(text[start:end])]
        position = end
    return "".join([*pieces, text[position:]])
