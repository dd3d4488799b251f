"""Takes opened secrets out of everything a step says, in whatever coding they come back."""

from __future__ import annotations

import base64
import json
import re
import threading
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import quote, quote_plus

MASK = "[redacted]"
# Shorter values would mask half of every text and are no secrets.
_SHORTEST = 4
_SHORTEST_CORE = 6


class Redactor:
    """Knows the secrets this step has opened so far; thread safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._values: set[str] = set()
        self._pattern: re.Pattern[str] | None = None

    def add(self, value: str) -> None:
        """From now on, mask this value."""
        if len(value) < _SHORTEST:
            return
        with self._lock:
            self._values.add(value)
            forms = sorted(_forms(self._values), key=len, reverse=True)
            self._pattern = re.compile("|".join(re.escape(form) for form in forms))

    def text(self, text: str) -> str:
        """The text with every form of every opened secret masked."""
        pattern = self._pattern
        return pattern.sub(MASK, text) if pattern is not None else text

    def value(self, value: Any) -> Any:
        """A JSON value with its strings and keys masked."""
        if self._pattern is None:
            return value
        match value:
            case str():
                return self.text(value)
            case Mapping():
                return {self.text(str(key)): self.value(item) for key, item in value.items()}
            case list() | tuple():
                return [self.value(item) for item in value]
        return value


def _forms(values: Iterable[str]) -> set[str]:
    forms: set[str] = set()
    for value in values:
        raw = value.encode()
        forms |= {value, quote(value, safe=""), quote(value), quote_plus(value)}
        forms |= {json.dumps(value)[1:-1], json.dumps(value, ensure_ascii=False)[1:-1]}
        forms |= {raw.hex(), raw.hex().upper()}
        for core in _base64_cores(raw):
            # URL-safe text differs in two characters only.
            forms |= {core, core.replace("+", "-").replace("/", "_")}
    return {form for form in forms if len(form) >= _SHORTEST}


def _base64_cores(raw: bytes) -> set[str]:
    """The part of the Base64 text that is the same whatever stands before and after the value.

    A value may begin at each of three positions inside a group; the characters at its edges mix
    with their neighbours and are left out.
    """
    cores = set()
    for offset in range(3):
        encoded = base64.b64encode(bytes(offset) + raw).decode().rstrip("=")
        first = (offset * 8 + 5) // 6
        last = (offset + len(raw)) * 8 // 6
        core = encoded[first:last]
        if len(core) >= _SHORTEST_CORE:
            cores.add(core)
    return cores
