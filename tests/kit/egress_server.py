"""A small HTTP server on loopback that answers as a test asks and remembers what it got."""

import gzip
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit


@dataclass
class Sent:
    """One request as it arrived."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Server:
    """Where it listens and what it got."""

    port: int
    received: list[Sent] = field(default_factory=list)

    def url(self, path: str, *, host: str = "127.0.0.1", scheme: str = "http") -> str:
        return f"{scheme}://{host}:{self.port}{path}"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    log: Server

    def _serve(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.log.received.append(Sent(self.command, self.path, headers, body))
        parts = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        match parts.path:
            case "/to":
                self._answer(b"", status=int(query.get("status", 302)), location=query["url"])
            case "/bomb":
                self._answer(gzip.compress(bytes(int(query["bytes"]))), encoding="gzip")
            case "/zipped":
                self._answer(gzip.compress(b"hello ") + gzip.compress(b"there"), encoding="gzip")
            case "/cut":
                self._answer(gzip.compress(b"hello there" * 100)[:-9], encoding="gzip")
            case "/strange":
                self._answer(b"?", encoding="br")
            case "/large":
                self._answer(b"x" * int(query["bytes"]))
            case "/drip":
                self.send_response(200)
                self.send_header("content-length", "1000")
                self.end_headers()
                for _ in range(100):
                    self.wfile.write(b".")
                    time.sleep(0.05)
            case _:
                self._answer(b'{"ok": true}')

    def _answer(
        self, body: bytes, *, status: int = 200, location: str = "", encoding: str = ""
    ) -> None:
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        if location:
            self.send_header("location", location)
        if encoding:
            self.send_header("content-encoding", encoding)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Quiet."""


def _handler(server: Server) -> type[_Handler]:
    methods = {f"do_{method}": _Handler._serve for method in ("GET", "POST", "HEAD", "PUT")}
    return type("Handler", (_Handler,), {"log": server, **methods})


class _Quiet(ThreadingHTTPServer):
    def handle_error(self, request: object, client_address: object) -> None:
        """A client that hangs up is what several tests are about."""


@contextmanager
def serving(*, tls: ssl.SSLContext | None = None) -> Iterator[Server]:
    """Serve on a free loopback port until the block ends."""
    server = Server(port=0)
    http = _Quiet(("127.0.0.1", 0), _handler(server))
    if tls is not None:
        http.socket = tls.wrap_socket(http.socket, server_side=True)
    server.port = http.server_address[1]
    thread = threading.Thread(target=http.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        http.shutdown()
        http.server_close()
        thread.join(5)
