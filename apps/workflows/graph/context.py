"""All a node may touch while it runs: one protocol, the values it hands out, and the node's own refusal."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO, Protocol, Self, runtime_checkable


@dataclass(frozen=True, kw_only=True)
class ArtifactRef:
    """A stored object by content: what travels where the value itself would be too large."""

    digest: str
    media_type: str
    bytes: int
    schema: Mapping[str, Any] | None = None

    def to_json(self) -> dict[str, Any]:
        """The reference as it stands in inputs, outputs and history."""
        reference: dict[str, Any] = {
            "$artifact": self.digest,
            "mediaType": self.media_type,
            "bytes": self.bytes,
        }
        if self.schema is not None:
            reference["schema"] = dict(self.schema)
        return reference

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """Read a reference; raises KeyError when `value` is none."""
        return cls(
            digest=value["$artifact"],
            media_type=value["mediaType"],
            bytes=value["bytes"],
            schema=value.get("schema"),
        )

    @staticmethod
    def is_reference(value: object) -> bool:
        """Whether a JSON value is an artefact reference."""
        return isinstance(value, Mapping) and isinstance(value.get("$artifact"), str)


class NodeError(Exception):
    """A node's own refusal: stable code, a sentence for people, and whether trying again may help."""

    def __init__(
        self,
        code: str,
        message: str,
        *,
        retryable: bool = False,
        details: Mapping[str, Any] | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.retryable = retryable
        self.details: Mapping[str, Any] = dict(details or {})
        self.retry_after = retry_after
        """Seconds the other side asked us to wait."""


@runtime_checkable
class Secret(Protocol):
    """A secret that never shows itself: str() and repr() are masked, only host functions open it."""

    @property
    def name(self) -> str:
        """Its name in the vault."""


class HttpResponse(Protocol):
    """An answer, read whole within the client's size limit."""

    @property
    def status(self) -> int: ...
    @property
    def headers(self) -> Mapping[str, str]: ...
    @property
    def content(self) -> bytes: ...
    def json(self) -> Any: ...


class HttpClient(Protocol):
    """The guarded client: only the hosts the node type declared, never a private address."""

    def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, "str | Secret"] | None = None,
        params: Mapping[str, str] | None = None,
        json: Any = None,
        content: bytes | None = None,
        timeout_seconds: float | None = None,
    ) -> HttpResponse:
        """Send; raises NodeError (EGRESS_DENIED, HTTP_TIMEOUT, HTTP_FAILED). A 4xx or 5xx is an answer."""


class Artifacts(Protocol):
    """Objects by reference, inside the tenant's quota."""

    def open(self, reference: ArtifactRef) -> BinaryIO:
        """Read a stream whose digest is verified."""

    def path(self, reference: ArtifactRef) -> Path:
        """The same as a read-only local file, for libraries that want a path."""

    def put(self, content: "bytes | BinaryIO | Path", *, media_type: str) -> ArtifactRef:
        """Store bytes, a stream or a file."""


class Log(Protocol):
    """Lines of the run's log; fields are redacted before they are stored."""

    def debug(self, message: str, **fields: Any) -> None: ...
    def info(self, message: str, **fields: Any) -> None: ...
    def warning(self, message: str, **fields: Any) -> None: ...
    def error(self, message: str, **fields: Any) -> None: ...


class NodeContext(Protocol):
    """All a node may touch; a test double stands in for it without database, engine or framework."""

    @property
    def http(self) -> HttpClient: ...
    @property
    def artifacts(self) -> Artifacts: ...
    @property
    def log(self) -> Log: ...
    @property
    def idempotency_key(self) -> str:
        """The same for every attempt of this step; what a KEYED node passes on."""

    @property
    def deadline(self) -> datetime: ...
    @property
    def environment(self) -> str:
        """DEVELOPMENT, STAGING or PRODUCTION."""

    @property
    def work_directory(self) -> Path:
        """An empty directory of this attempt's own, removed afterwards."""

    def secret(self, name: str) -> Secret:
        """The secret named, or referred to as `{{ secrets.NAME }}`; NodeError SECRET_MISSING without it."""

    def progress(self, done: float, total: float) -> None: ...
    def metric(self, name: str, value: float) -> None: ...
    def cost(self, amount_minor: int, *, currency: str = "USD") -> None:
        """Add to what this step cost, in minor units."""

    def cancelled(self) -> bool:
        """Whether the step should stop at the next good moment."""
