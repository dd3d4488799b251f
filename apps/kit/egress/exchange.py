"""One call from its first request to its last answer: limits, redirects, decoding; no I/O."""

import json as jsons
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import httpcore
import httpx

from apps.kit.egress.policy import EgressError, EgressFault, EgressPolicy, refused

Sink = Callable[[bytes], object]

_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
# The framing belongs to the client: a caller that sets it could smuggle a second request or name
# another host.
_OWN_HEADERS: Final = frozenset(
    {
        "host",
        "connection",
        "content-length",
        "transfer-encoding",
        "te",
        "trailer",
        "upgrade",
        "expect",
    }
    | {"keep-alive", "accept-encoding"}
)
# Another origin gets nothing but these: keys travel in headers of any name.
_HARMLESS_HEADERS: Final = frozenset({"accept", "accept-language", "user-agent", "content-type"})
_MAX_HEADERS: Final = 64
_MAX_HEADER_BYTES: Final = 16 * 1024
_MAX_URL_CHARACTERS: Final = 8 * 1024
_CONNECT_SECONDS: Final = 10.0
_GZIP_OR_ZLIB: Final = 32 + zlib.MAX_WBITS
_SENTENCES: Final = {
    EgressFault.UNREACHABLE: (
        "The host did not accept a connection. Check its address and certificate, then try again."
    ),
    EgressFault.TIMEOUT: (
        "The host did not answer in time. Try again, or allow the step more time."
    ),
    EgressFault.BROKEN: (
        "The host's answer broke off or is not HTTP. Try again; if it stays so, ask its operator."
    ),
}


@dataclass(frozen=True, kw_only=True)
class EgressResponse:
    """A whole answer. Header names are lower case; `body` is empty when a sink took it."""

    status: int
    headers: Mapping[str, str]
    url: str
    body: bytes

    def json(self) -> Any:
        """The body as JSON."""
        try:
            return jsons.loads(self.body)
        except (ValueError, RecursionError) as error:
            raise EgressError(EgressFault.BROKEN, "The host's answer is not JSON.") from error

    def text(self) -> str:
        """The body in the charset the host named, else UTF-8; what does not fit is replaced."""
        charset = httpx.Headers(dict(self.headers)).get("content-type", "").partition("charset=")[2]
        try:
            return self.body.decode(charset.strip(" \"'").partition(";")[0] or "utf-8", "replace")
        except (LookupError, UnicodeError):
            return self.body.decode("utf-8", "replace")


@dataclass(frozen=True, kw_only=True)
class Call:
    """A request as the caller gave it."""

    method: str
    url: str
    headers: Mapping[str, str] | None
    params: Mapping[str, str] | None
    json: object | None
    content: bytes | None


def _invalid(message: str) -> EgressError:
    return EgressError(EgressFault.INVALID, message)


def _checked_headers(headers: Mapping[str, str]) -> dict[str, str]:
    if len(headers) > _MAX_HEADERS:
        raise _invalid(
            f"A request may carry {_MAX_HEADERS} headers; this one carries {len(headers)}."
        )
    if sum(len(name) + len(value) for name, value in headers.items()) > _MAX_HEADER_BYTES:
        raise _invalid(f"The headers exceed {_MAX_HEADER_BYTES} bytes.")
    for name in headers:
        if name.lower() in _OWN_HEADERS or name.lower().startswith("proxy-"):
            raise _invalid(f"The header {name} is set by the platform; leave it out.")
    return dict(headers)


def _checked_url(url: httpx.URL, policy: EgressPolicy) -> httpx.URL:
    if url.scheme not in ("http", "https") or not url.host:
        raise refused()
    if url.userinfo:
        raise _invalid("A URL may not carry a user name or password; use a secret in a header.")
    if not policy.allows(
        url.raw_host.decode("ascii"), url.port or (443 if url.scheme == "https" else 80)
    ):
        raise refused()
    return url


def _first_request(call: Call, policy: EgressPolicy) -> httpx.Request:
    if call.method.upper() not in _METHODS:
        raise _invalid(f"The method must be one of {', '.join(sorted(_METHODS))}.")
    if len(call.url) > _MAX_URL_CHARACTERS:
        raise _invalid(f"The URL exceeds {_MAX_URL_CHARACTERS} characters.")
    if call.json is not None and call.content is not None:
        raise _invalid("Give the body as json or as content, not both.")
    try:
        headers = {"user-agent": "nstarx-workflows", **_checked_headers(call.headers or {})}
        url = httpx.URL(call.url)
        if call.params:
            url = url.copy_merge_params(dict(call.params))
        request = httpx.Request(
            call.method.upper(),
            _checked_url(url, policy),
            headers={**headers, "accept-encoding": "gzip"},
            json=call.json,
            content=call.content,
        )
        request.read()
    except (httpx.InvalidURL, AttributeError, TypeError, ValueError) as error:
        raise _invalid(
            "The URL, a header or the body cannot be written as an HTTP request."
        ) from error
    if len(request.content) > policy.max_request_bytes:
        raise EgressError(
            EgressFault.TOO_LARGE, f"The request body exceeds {policy.max_request_bytes} bytes."
        )
    return request


def _redirected(
    request: httpx.Request, location: str, status: int, policy: EgressPolicy
) -> httpx.Request:
    try:
        url = _checked_url(request.url.join(location), policy)
    except httpx.InvalidURL as error:
        raise refused() from error
    if request.url.scheme == "https" and url.scheme == "http":
        raise refused()
    becomes_get = (status == 303 and request.method != "HEAD") or (
        status in (301, 302) and request.method == "POST"
    )
    kept = {name: value for name, value in request.headers.items() if name not in _OWN_HEADERS}
    if (url.scheme, url.host, url.port) != (request.url.scheme, request.url.host, request.url.port):
        kept = {name: value for name, value in kept.items() if name in _HARMLESS_HEADERS}
    if becomes_get:
        kept.pop("content-type", None)
    return httpx.Request(
        "GET" if becomes_get else request.method,
        url,
        headers={**kept, "accept-encoding": "gzip"},
        content=None if becomes_get else request.content,
    )


class Exchange:
    """One call without I/O: what to send next, what has arrived."""

    def __init__(self, call: Call, policy: EgressPolicy, timeout_seconds: float | None) -> None:
        self._policy = policy
        self._redirects = 0
        self.request = _first_request(call, policy)
        self.seconds = min(timeout_seconds or policy.timeout_seconds, policy.timeout_seconds)

    def wire_request(self) -> httpcore.Request:
        """What goes over the wire now."""
        url = self.request.url
        connect = min(_CONNECT_SECONDS, self.seconds)
        limits = {
            "connect": connect,
            "read": self.seconds,
            "write": self.seconds,
            "pool": self.seconds,
        }
        return httpcore.Request(
            self.request.method,
            httpcore.URL(
                scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path
            ),
            headers=self.request.headers.raw,
            content=self.request.content,
            extensions={"timeout": limits},
        )

    def goes_on(self, status: int, headers: httpx.Headers) -> bool:
        """Whether the answer leads to another request, which is then `request`."""
        location = headers.get("location")
        if status not in _REDIRECTS or not location:
            return False
        if self._redirects == self._policy.max_redirects:
            raise EgressError(
                EgressFault.TOO_MANY_REDIRECTS,
                f"The host redirected more than {self._policy.max_redirects} times; "
                "use the final address.",
            )
        self._redirects += 1
        self.request = _redirected(self.request, location, status, self._policy)
        return True

    def answer(self, status: int, headers: httpx.Headers, body: bytes) -> EgressResponse:
        """The answer for the caller."""
        return EgressResponse(
            status=status, headers=dict(headers), url=str(self.request.url), body=body
        )

    def body(self, headers: httpx.Headers, sink: Sink | None) -> "_Body":
        """Where the answer's pieces go."""
        return _Body(
            encoding=headers.get("content-encoding", ""),
            limit=self._policy.max_response_bytes,
            sink=sink,
        )


class _Body:
    """Decodes an answer piece by piece and stops at the limit: a small bomb stays small."""

    def __init__(self, *, encoding: str, limit: int, sink: Sink | None) -> None:
        plain = encoding.strip().lower()
        if plain not in ("", "identity", "gzip", "x-gzip", "deflate"):
            raise EgressError(
                EgressFault.BROKEN, "The host sent an encoding that was not asked for."
            )
        self._packed = plain not in ("", "identity")
        self._decoder = zlib.decompressobj(_GZIP_OR_ZLIB)
        self._begun = False
        self._left = limit
        self._limit = limit
        self._kept = bytearray()
        self._sink: Sink = sink or self._kept.extend

    def feed(self, piece: bytes) -> None:
        """One piece as it came over the wire."""
        if not self._packed:
            self._take(piece)
            return
        try:
            while piece:
                self._begun = True
                self._take(self._decoder.decompress(piece, self._left + 1))
                piece = self._decoder.unconsumed_tail or self._decoder.unused_data
                if self._decoder.eof:
                    self._decoder = zlib.decompressobj(_GZIP_OR_ZLIB)
                    self._begun = bool(piece)
        except zlib.error as error:
            raise EgressError(EgressFault.BROKEN, _SENTENCES[EgressFault.BROKEN]) from error

    def finish(self) -> bytes:
        """What was kept, once the wire is silent."""
        if self._begun:
            raise EgressError(EgressFault.BROKEN, _SENTENCES[EgressFault.BROKEN])
        return bytes(self._kept)

    def _take(self, data: bytes) -> None:
        if len(data) > self._left:
            raise EgressError(
                EgressFault.TOO_LARGE,
                f"The host's answer exceeds {self._limit} bytes; ask for less.",
            )
        self._left -= len(data)
        self._sink(data)


@contextmanager
def faults() -> Iterator[None]:
    """Library exceptions carry addresses and certificates; callers get the fault's sentence."""
    try:
        yield
    except (httpcore.ConnectTimeout, httpcore.PoolTimeout) as error:
        # Nothing was sent, which who sends what may not be sent twice must know.
        raise EgressError(EgressFault.UNREACHABLE, _SENTENCES[EgressFault.UNREACHABLE]) from error
    except (httpcore.TimeoutException, TimeoutError) as error:
        raise EgressError(EgressFault.TIMEOUT, _SENTENCES[EgressFault.TIMEOUT]) from error
    except httpcore.ConnectError as error:
        raise EgressError(EgressFault.UNREACHABLE, _SENTENCES[EgressFault.UNREACHABLE]) from error
    except httpcore.LocalProtocolError as error:
        raise _invalid("The URL or a header cannot be written as an HTTP request.") from error
    except (httpcore.NetworkError, httpcore.ProtocolError) as error:
        raise EgressError(EgressFault.BROKEN, _SENTENCES[EgressFault.BROKEN]) from error
