"""Secrets of one attempt: opaque on their way through the node, opened by host functions alone."""

from __future__ import annotations

import re
import secrets as random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from apps.executions.runner.doors import SecretSource
from apps.executions.runner.redaction import Redactor
from apps.workflows.graph.context import NodeError, Secret
from apps.workflows.graph.declaration import secret_name

_PREFIX = "nsx-secret-"
_MARKER = re.compile(_PREFIX + r"(?P<nonce>[0-9a-f]{16})-(?P<name>[A-Za-z_][A-Za-z0-9_]*?)-end")


@dataclass(frozen=True)
class OpaqueSecret:
    """A name; the value is not in here."""

    name: str

    def __str__(self) -> str:
        return "[secret]"

    def __format__(self, specification: str) -> str:
        return "[secret]"


class SecretBook:
    """Which secrets this attempt may use, and the only place that opens them.

    In resolved configuration a reference is a marker with a random part, so that text that came
    in with the data can name a secret but never become one.
    """

    def __init__(
        self, source: SecretSource, *, allowed: frozenset[str], redactor: Redactor
    ) -> None:
        self._source = source
        self._allowed = allowed
        self._redactor = redactor
        self._opened: dict[str, str] = {}
        self._nonce = random.token_hex(8) if allowed else ""

    def marker(self, name: str) -> str:
        """What stands in the configuration instead of the secret."""
        return f"{_PREFIX}{self._nonce}-{name}-end"

    def handle(self, reference: str) -> Secret:
        """The opaque secret for a marker, a `{{ secrets.NAME }}` or a name."""
        match = _MARKER.fullmatch(reference)
        own = match is not None and match["nonce"] == self._nonce
        name = match["name"] if match and own else secret_name(reference)
        self._require(name)
        return OpaqueSecret(name)

    def reveal(self, value: Any, *, in_url: bool = False) -> str:
        """Host functions only: the text with its secrets in place."""
        if isinstance(value, str):
            return self._replaced(value, lambda name: self._open(name, in_url=in_url))
        return self._open(value.name, in_url=in_url)

    def reveal_json(self, value: Any) -> Any:
        """The same for every string of a JSON value."""
        match value:
            case str():
                return self.reveal(value)
            case dict():
                return {key: self.reveal_json(item) for key, item in value.items()}
            case list() | tuple():
                return [self.reveal_json(item) for item in value]
        return value

    def hide(self, value: Any) -> Any:
        """What may leave the step: no value, and no marker either."""
        if not self._allowed:
            # Without a permitted secret none can have been opened.
            return value
        match value:
            case str():
                told = self._redactor.text(value)
                return self._replaced(told, lambda name: f"{{{{ secrets.{name} }}}}")
            case dict():
                return {str(self.hide(str(key))): self.hide(item) for key, item in value.items()}
            case list() | tuple():
                return [self.hide(item) for item in value]
        return value

    def _replaced(self, text: str, replace: Callable[[str], str]) -> str:
        """The text with this attempt's own markers replaced; foreign ones are plain text."""
        if _PREFIX not in text:
            return text
        return _MARKER.sub(
            lambda match: replace(match["name"]) if match["nonce"] == self._nonce else match[0],
            text,
        )

    def _require(self, name: str) -> None:
        if name not in self._allowed:
            raise NodeError(
                "SECRET_NOT_DECLARED",
                f"This step may not use the secret {name}: refer to it as {{{{ secrets.{name} }}}}"
                " in a parameter the node type declares for secrets.",
            )

    def _open(self, name: str, *, in_url: bool = False) -> str:
        self._require(name)
        value = self._opened.get(name)
        if value is None:
            try:
                value = self._source.open(name)
            except LookupError:
                raise NodeError(
                    "SECRET_MISSING",
                    f"The secret {name} is not set in this environment; set it and run again.",
                    details={"secret": name},
                ) from None
            self._redactor.add(value)
            self._opened[name] = value
        return quote(value, safe="") if in_url else value


class _NoSource:
    """A step that names no secret has none to open."""

    def open(self, name: str) -> str:
        raise LookupError(name)


NO_SECRETS = SecretBook(_NoSource(), allowed=frozenset(), redactor=Redactor())
"""For every step that may use no secret: it refuses each name and has nothing to hide."""
