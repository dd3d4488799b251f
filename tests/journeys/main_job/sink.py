"""A web service on loopback that counts deliveries per idempotency key, and can be slow."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

HEADER = "Idempotency-Key"


class _Quiet(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A caller that was killed resets its connection; that is the point."""


class Sink:
    """Accepts every POST; a repeated key is answered like the first one, and counted."""

    def __init__(self, *, slowness_seconds: float) -> None:
        self.deliveries: Counter[str] = Counter()
        self.effects: dict[str, str] = {}
        self.without_key = 0
        self.reached = threading.Event()
        self._release = threading.Event()
        self._lock = threading.Lock()
        self._slowness = slowness_seconds
        self.hold_at = 0
        sink = self

        class Handler(BaseHTTPRequestHandler):
            """One delivery."""

            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                sink.accept(self.headers.get(HEADER), body.decode(errors="replace"))
                answer = b'{"accepted": true}'
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, format: str, *args: Any) -> None:
                """Silence."""

        self._server = _Quiet(("127.0.0.1", 0), Handler)

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self._server.server_address[1])

    @property
    def doubled(self) -> dict[str, int]:
        """Keys that were delivered more than once."""
        return {key: times for key, times in self.deliveries.items() if times > 1}

    def accept(self, key: str | None, body: str) -> None:
        """Count, and do the effect once per key; delivery number `hold_at` waits for release."""
        with self._lock:
            if key is None:
                self.without_key += 1
                return
            self.deliveries[key] += 1
            self.effects.setdefault(key, body)
            held = self.hold_at and sum(self.deliveries.values()) == self.hold_at
        if held:
            self.reached.set()
            self._release.wait(60)
        else:
            self._release.wait(self._slowness) if not self._release.is_set() else None

    def release(self) -> None:
        """Answer whoever is held; be fast from now on."""
        self._release.set()

    @contextmanager
    def serving(self) -> Iterator[Sink]:
        """Listen in a thread for as long as the block lasts."""
        thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self.release()
            self._server.shutdown()
            self._server.server_close()
