"""Secrets of one attempt: opaque on their way through the node, opened by host functions alone."""

from __future__ import annotations

import re
import secrets as random
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from apps.executions.runner.doors import SecretSource
from apps.executions.runner.redaction import Redactor
from apps.workflows.graph.context import NodeError, Secret
from apps.workflows.graph.declaration import secret_name


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
        nonce = random.token_hex(8)
        self._prefix = f"nsx-secret-{nonce}-"
        self._marker = re.compile(f"{self._prefix}([A-Za-z_][A-Za-z0-9_]*)-end")

    def marker(self, name: str) -> str:
        """What stands in the configuration instead of the secret."""
        return f"{self._prefix}{name}-end"

    def handle(self, reference: str) -> Secret:
        """The opaque secret for a marker, a `{{ secrets.NAME }}` or a name."""
        match = self._marker.fullmatch(reference)
        name = match.group(1) if match else secret_name(reference)
        self._require(name)
        return OpaqueSecret(name)

    def reveal(self, value: Any, *, in_url: bool = False) -> str:
        """Host functions only: the text with its secrets in place."""
        if isinstance(value, str):
            return self._marker.sub(lambda match: self._open(match[1], in_url=in_url), value)
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
        match value:
            case str():
                return self._marker.sub(r"{{ secrets.\1 }}", self._redactor.text(value))
            case dict():
                return {str(self.hide(str(key))): self.hide(item) for key, item in value.items()}
            case list() | tuple():
                return [self.hide(item) for item in value]
        return value

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
