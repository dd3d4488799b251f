"""What the tests of the guarded client share: a table of names, and a server on loopback."""

import socket
from collections.abc import Iterator
from typing import Any

import pytest

from tests.kit.egress_server import Server, serving

NAMES: dict[str, list[str]] = {
    "public.example.com": ["93.184.216.34"],
    "private.example.com": ["10.0.0.7"],
    "mixed.example.com": ["93.184.216.34", "127.0.0.1"],
    "mixed6.example.com": ["2606:2800:220:1::1", "::ffff:169.254.169.254"],
    "metadata.example.com": ["169.254.169.254"],
    "localhost": ["127.0.0.1", "::1"],
    "api.example.test": ["127.0.0.1"],
    "two.example.test": ["127.0.0.1"],
}


@pytest.fixture
def attempts(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Names come from a table; a connection to anything but 127.0.0.1 is recorded and refused."""
    tried: list[Any] = []
    real_look_up, real_connect = socket.getaddrinfo, socket.socket.connect

    def look_up(host: Any, port: Any, *args: Any, **named: Any) -> Any:
        name = host.decode() if isinstance(host, bytes) else host
        found = NAMES.get(str(name).rstrip(".").lower())
        if found is None:
            named["flags"] = socket.AI_NUMERICHOST
            return real_look_up(host, port, *args, **named)
        return [answer for ip in found for answer in real_look_up(ip, port, *args, **named)]

    def connect(self: socket.socket, address: Any) -> None:
        if address[0] != "127.0.0.1":
            tried.append(address)
            raise ConnectionRefusedError
        real_connect(self, address)

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    monkeypatch.setattr(socket.socket, "connect", connect)
    return tried


@pytest.fixture
def server() -> Iterator[Server]:
    with serving() as running:
        yield running
