"""A context for tests of nodes: no database, no engine, no network, everything kept to look at."""

from __future__ import annotations

import datetime as dt
import hashlib
import io
import json as jsons
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from apps.workflows.graph.declaration import (
    ArtifactRef,
    Iteration,
    NodeError,
    Secret,
    secret_name,
)


@dataclass(frozen=True)
class Answer:
    """What a request is answered with."""

    status: int = 200
    content: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, value: Any, *, status: int = 200) -> Answer:
        """An answer with a JSON body."""
        return cls(status, jsons.dumps(value).encode(), {"content-type": "application/json"})

    def json(self) -> Any:
        """The body as JSON; NodeError HTTP_NOT_JSON when it is none, as of a real answer."""
        try:
            return jsons.loads(self.content)
        except ValueError:
            raise NodeError("HTTP_NOT_JSON", "The answer is not JSON.") from None


@dataclass(frozen=True)
class Request:
    """What a node asked for; secrets stay opaque here too."""

    method: str
    url: str
    headers: Mapping[str, Any]
    params: Mapping[str, str]
    json: Any
    content: bytes | None


@dataclass(frozen=True)
class FakeSecret:
    """A secret by name; there is no value to leak."""

    name: str

    def __str__(self) -> str:
        return "[secret]"


class FakeContext:
    """NodeContext in memory.

    `answer` decides what requests get, `secrets` which names exist, `script` what tenant code
    gives. Afterwards look at `requests`, `stored`, `lines`, `metrics`, `writes`, `cost_minor`.
    """

    def __init__(
        self,
        work_directory: Path,
        *,
        answer: Callable[[Request], Answer] = lambda request: Answer(),
        secrets: frozenset[str] = frozenset(),
        script: Callable[[str, Mapping[str, Any]], Any] | None = None,
        idempotency_key: str = "tenant/run/step/0/0",
        environment: str = "DEVELOPMENT",
        iteration: Iteration | None = None,
    ) -> None:
        self.work_directory = work_directory
        self.idempotency_key = idempotency_key
        self.environment = environment
        self.iteration = iteration
        self.deadline = dt.datetime.now(dt.UTC) + dt.timedelta(hours=1)
        self.requests: list[Request] = []
        self.stored: dict[str, bytes] = {}
        self.lines: list[tuple[str, str, Mapping[str, Any]]] = []
        self.metrics: dict[str, float] = {}
        self.steps: list[tuple[float, float]] = []
        self.writes: dict[str, Any] = {}
        self.cost_minor = 0
        self.stop = False
        self._answer = answer
        self._secrets = secrets
        self._script = script

    @property
    def http(self) -> FakeContext:
        """Requests are kept and answered here."""
        return self

    @property
    def artifacts(self) -> FakeContext:
        """Objects are kept here."""
        return self

    @property
    def log(self) -> _Lines:
        """Lines are kept in `lines`."""
        return _Lines(self.lines)

    def secret(self, name: str) -> Secret:
        """Opaque; SECRET_MISSING for a name that was not given."""
        plain = secret_name(name)
        if plain not in self._secrets:
            raise NodeError("SECRET_MISSING", f"The secret {plain} is not set.")
        return FakeSecret(plain)

    def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str | Secret] | None = None,
        params: Mapping[str, str] | None = None,
        json: Any = None,
        content: bytes | None = None,
        timeout_seconds: float | None = None,
    ) -> Answer:
        """Keep the request, answer as the test says."""
        asked = Request(method, url, headers or {}, params or {}, json, content)
        self.requests.append(asked)
        return self._answer(asked)

    def open(self, reference: ArtifactRef) -> BinaryIO:
        """A stored object; ARTIFACT_MISSING when there is none."""
        if reference.digest not in self.stored:
            raise NodeError("ARTIFACT_MISSING", f"There is no object {reference.digest}.")
        return io.BytesIO(self.stored[reference.digest])

    def path(self, reference: ArtifactRef) -> Path:
        """The same as a file."""
        target = self.work_directory / reference.digest.replace(":", "-")
        with self.open(reference) as source, target.open("wb") as file:
            shutil.copyfileobj(source, file)
        return target

    def put(self, content: bytes | BinaryIO | Path, *, media_type: str) -> ArtifactRef:
        """Keep the content."""
        match content:
            case Path():
                data = content.read_bytes()
            case bytes():
                data = content
            case _:
                data = content.read()
        digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
        self.stored[digest] = data
        return ArtifactRef(digest=digest, media_type=media_type, bytes=len(data))

    def script(self, source: str, *, inputs: Mapping[str, Any]) -> Any:
        """What the test says tenant code gives."""
        if self._script is None:
            raise NodeError("SCRIPT_FAILED", "This test lets no script run.")
        return self._script(source, inputs)

    def write(self, key: str, value: Any) -> None:
        """Keep the write."""
        self.writes[key] = value

    def progress(self, done: float, total: float) -> None:
        """Keep the progress."""
        self.steps.append((done, total))

    def metric(self, name: str, value: float) -> None:
        """Keep the sample."""
        self.metrics[name] = value

    def cost(self, amount_minor: int, *, currency: str = "USD") -> None:
        """Add up."""
        self.cost_minor += amount_minor

    def cancelled(self) -> bool:
        """Whether the test said stop."""
        return self.stop


class _Lines:
    """Log lines in a list."""

    def __init__(self, lines: list[tuple[str, str, Mapping[str, Any]]]) -> None:
        self._lines = lines

    def debug(self, message: str, **fields: Any) -> None:
        self._lines.append(("DEBUG", message, fields))

    def info(self, message: str, **fields: Any) -> None:
        self._lines.append(("INFO", message, fields))

    def warning(self, message: str, **fields: Any) -> None:
        self._lines.append(("WARN", message, fields))

    def error(self, message: str, **fields: Any) -> None:
        self._lines.append(("ERROR", message, fields))
