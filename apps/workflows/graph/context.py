"""All a node may touch while it runs: one protocol, what it hands out, and the node's refusal."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO, Protocol, Self, runtime_checkable

from apps.workflows.graph.repeat import Iteration


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
        """Whether a JSON value is an artifact reference."""
        if isinstance(value, dict):  # As it nearly always is, where it is a mapping at all.
            return isinstance(value.get("$artifact"), str)
        return isinstance(value, Mapping) and isinstance(value.get("$artifact"), str)


class NodeError(Exception):
    """A node's own refusal: a stable code, a sentence, and whether trying again may help."""

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
    """A secret that never shows itself: str() and repr() are masked, host functions open it."""

    @property
    def name(self) -> str:
        """Its name in the vault."""


class HttpResponse(Protocol):
    """An answer, read whole within the client's size limit."""

    @property
    def status(self) -> int:
        """The HTTP status."""

    @property
    def headers(self) -> Mapping[str, str]:
        """Header values by lower-case name."""

    @property
    def content(self) -> bytes:
        """The body."""

    def json(self) -> Any:
        """The body as JSON; NodeError HTTP_NOT_JSON when it is none."""


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
        """Send; NodeError EGRESS_DENIED, HTTP_TIMEOUT or HTTP_FAILED. A 4xx is an answer."""


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

    def debug(self, message: str, **fields: Any) -> None:
        """For whoever hunts a defect."""

    def info(self, message: str, **fields: Any) -> None:
        """What was done."""

    def warning(self, message: str, **fields: Any) -> None:
        """What deserves a look."""

    def error(self, message: str, **fields: Any) -> None:
        """What went wrong."""


class NodeContext(Protocol):
    """All a node may touch; a test double stands in for it without database or engine."""

    @property
    def http(self) -> HttpClient:
        """The guarded client."""

    @property
    def artifacts(self) -> Artifacts:
        """Stored objects."""

    @property
    def log(self) -> Log:
        """The run's log."""

    @property
    def idempotency_key(self) -> str:
        """The same for every attempt of this step; what a KEYED node passes on."""

    @property
    def deadline(self) -> datetime:
        """When this attempt is stopped, in UTC."""

    @property
    def environment(self) -> str:
        """DEVELOPMENT, STAGING or PRODUCTION."""

    @property
    def work_directory(self) -> Path:
        """An empty directory of this attempt's own, removed afterwards."""

    @property
    def iteration(self) -> Iteration | None:
        """Of a container that repeats: what has just ended, None before the first."""

    def secret(self, name: str) -> Secret:
        """The secret of that name or `{{ secrets.NAME }}`; NodeError SECRET_MISSING without."""

    def script(self, source: str, *, inputs: Mapping[str, Any]) -> Any:
        """Run a tenant's code in the sandbox: what it bound to `result`, or SCRIPT_FAILED."""

    def write(self, key: str, value: Any) -> None:
        """TRANSACTIONAL nodes: set the workflow's state by the commit of this step."""

    def progress(self, done: float, total: float) -> None:
        """Say how far the step is."""

    def metric(self, name: str, value: float) -> None:
        """Record a figure of the run."""

    def cost(self, amount_minor: int, *, currency: str = "USD") -> None:
        """Add to what this step cost, in minor units."""

    def cancelled(self) -> bool:
        """Whether the step should stop at the next good moment."""
