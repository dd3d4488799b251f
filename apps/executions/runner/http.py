"""The HTTP client a node gets: declared hosts only, secrets opened here, within the deadline."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from apps.executions.engine.asking import EFFECT_IN_DOUBT
from apps.executions.runner.answers import Answer
from apps.executions.runner.doors import OpenEgress
from apps.executions.runner.secrets import SecretBook
from apps.kit.egress import EgressError, EgressFault
from apps.workflows.graph.context import HttpResponse, NodeError, Secret
from apps.workflows.graph.declaration import NodeType

_CODES = {
    EgressFault.REFUSED: "EGRESS_DENIED",
    EgressFault.INVALID: "HTTP_INVALID",
    EgressFault.UNREACHABLE: "HTTP_FAILED",
    EgressFault.TIMEOUT: "HTTP_TIMEOUT",
    EgressFault.BROKEN: "HTTP_FAILED",
    EgressFault.TOO_LARGE: "HTTP_TOO_LARGE",
    EgressFault.TOO_MANY_REDIRECTS: "HTTP_FAILED",
}
_READING = ("GET", "HEAD", "OPTIONS")


def declared_hosts(node_type: NodeType, parameters: Mapping[str, Any]) -> frozenset[str]:
    """The hosts of the declaration and of the parameters it names, from resolved configuration."""
    named = [
        host
        for name in node_type.egress_parameters
        for text in _texts(parameters.get(name))
        # A pattern is for declarations: a parameter names one host.
        if (host := _host(text)) is not None and "*" not in host
    ]
    return frozenset([*node_type.egress, *named])


def _texts(value: Any) -> Sequence[str]:
    match value:
        case str():
            return (value,)
        case list() | tuple():
            return [item for item in value if isinstance(item, str)]
    return ()


def _host(text: str) -> str | None:
    try:
        return urlsplit(text if "://" in text else f"//{text}").hostname
    except ValueError:
        return None


class GuardedHttp:
    """HttpClient over the platform's egress guard; a client is opened on the first request."""

    def __init__(
        self,
        *,
        egress: OpenEgress,
        hosts: frozenset[str],
        book: SecretBook,
        seconds_left: Callable[[], float],
        may_repeat: bool,
    ) -> None:
        self._egress = egress
        self._hosts = hosts
        self._book = book
        self._seconds_left = seconds_left
        self._may_repeat = may_repeat
        self.bytes_in = 0
        self.bytes_out = 0

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
    ) -> HttpResponse:
        """Send; raises NodeError without an answer. A 4xx or 5xx is an answer."""
        left = self._seconds_left()
        if left <= 0:
            raise NodeError("HTTP_TIMEOUT", "The step's time was used up before the request.")
        plain = {name: self._header(name, value) for name, value in (headers or {}).items()}
        try:
            with self._egress(self._hosts) as client:
                answer = client.request(
                    method,
                    self._book.reveal(url, in_url=True),
                    headers=plain,
                    params={name: self._book.reveal(value) for name, value in params.items()}
                    if params
                    else None,
                    json=self._book.reveal_json(json),
                    content=content,
                    timeout_seconds=min(left, timeout_seconds or left),
                )
        except (EgressError, ValueError) as error:
            raise self._refused(error, method=method) from None
        self.bytes_in += len(answer.body)
        self.bytes_out += len(content or b"")
        return Answer(answer.status, answer.headers, answer.body)

    def _header(self, name: str, value: str | Secret) -> str:
        """A secret in Authorization goes as a bearer token, unless it names its scheme itself."""
        text = self._book.reveal(value)
        opened = not isinstance(value, str) or text != value
        bare = opened and name.lower() == "authorization" and " " not in text
        return f"Bearer {text}" if bare else text

    def _refused(self, error: Exception, *, method: str) -> NodeError:
        if not isinstance(error, EgressError):
            return NodeError("HTTP_INVALID", "A host of this step is not a host name.")
        code = _CODES[error.fault]
        acts = not self._may_repeat and method.upper() not in _READING
        if acts and error.fault in (EgressFault.TIMEOUT, EgressFault.BROKEN):
            fault = error.message.partition(". ")[0]
            message = f"{fault}. The request was sent, and may have had its effect."
            return NodeError(EFFECT_IN_DOUBT, message, details={"http": code})
        return NodeError(code, error.message, retryable=error.retryable)
