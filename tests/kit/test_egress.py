"""The guarded client: what it does with an answer, a redirect, a limit and a certificate."""

import asyncio
import datetime as dt
import socket
import ssl
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from apps.kit.egress import EgressClient, EgressError, EgressFault, EgressPolicy
from tests.kit.conftest import NAMES
from tests.kit.egress_calls import fetch, fetch_async, policy_of
from tests.kit.egress_server import Server, serving


def test_a_public_address_is_connected_to_by_number(attempts: list[Any]) -> None:
    with pytest.raises(EgressError) as failure:
        fetch(EgressPolicy(hosts=frozenset({"public.example.com"})), "http://public.example.com/")
    assert failure.value.fault is EgressFault.UNREACHABLE
    assert attempts == [("93.184.216.34", 80)]


def test_an_undeclared_host_is_refused_before_it_is_looked_up(
    attempts: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def answer(host: str, *_: Any, **__: Any) -> list[Any]:
        asked.append(host)
        return []

    monkeypatch.setattr(socket, "getaddrinfo", answer)
    with pytest.raises(EgressError) as refusal:
        fetch(EgressPolicy(hosts=frozenset({"api.example.com"})), "http://public.example.com/")
    assert refusal.value.fault is EgressFault.REFUSED
    assert asked == []


def test_a_second_look_up_cannot_lead_elsewhere(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The name answers with a public address first and with loopback ever after.
    answers = iter([["93.184.216.34"], ["127.0.0.1"], ["127.0.0.1"]])
    connected: list[Any] = []

    def look_up(host: str, port: int, *_: Any, **__: Any) -> list[Any]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (ip, port)) for ip in next(answers)]

    def create_connection(address: Any, *_: Any, **__: Any) -> None:
        connected.append(address)
        raise ConnectionRefusedError

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    monkeypatch.setattr(socket, "create_connection", create_connection)
    policy = EgressPolicy(hosts=frozenset({"rebind.example.com"}), ports=frozenset({server.port}))
    with pytest.raises(EgressError):
        fetch(policy, f"http://rebind.example.com:{server.port}/")
    assert connected == [("93.184.216.34", server.port)]
    with pytest.raises(EgressError) as second:
        fetch(policy, f"http://rebind.example.com:{server.port}/")
    assert second.value.fault is EgressFault.REFUSED
    assert len(connected) == 1
    assert server.received == []


def test_a_declared_loopback_pair_answers(server: Server, attempts: list[Any]) -> None:
    answer = fetch(policy_of(server), server.url("/hello"), headers={"x-key": "1"})
    assert (answer.status, answer.json()) == (200, {"ok": True})
    assert server.received[0].headers["host"] == f"127.0.0.1:{server.port}"


def test_coroutines_get_the_same_answer(server: Server, attempts: list[Any]) -> None:
    answer = asyncio.run(fetch_async(policy_of(server), server.url("/hello")))
    assert answer.json() == {"ok": True}


def test_another_port_of_this_machine_stays_closed(server: Server, attempts: list[Any]) -> None:
    with serving() as other, pytest.raises(EgressError) as refusal:
        fetch(policy_of(server), other.url("/"))
    assert refusal.value.fault is EgressFault.REFUSED
    assert other.received == []


def test_the_host_header_keeps_the_name(server: Server, attempts: list[Any]) -> None:
    fetch(policy_of(server, "api.example.test"), server.url("/", host="api.example.test"))
    assert server.received[0].headers["host"] == f"api.example.test:{server.port}"


def test_the_environment_s_proxy_is_ignored(
    server: Server, attempts: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    assert fetch(policy_of(server), server.url("/")).status == 200


@pytest.mark.parametrize(
    "target", ["http://127.0.0.2/", "http://169.254.169.254/", "http://undeclared.example.com/"]
)
def test_a_redirect_passes_the_same_guard(server: Server, attempts: list[Any], target: str) -> None:
    with pytest.raises(EgressError) as refusal:
        fetch(policy_of(server), server.url(f"/to?url={target}"))
    assert refusal.value.fault is EgressFault.REFUSED
    assert attempts == []


def test_a_redirect_to_another_host_carries_no_key(server: Server, attempts: list[Any]) -> None:
    policy = policy_of(server, "api.example.test", "two.example.test")
    target = server.url("/end", host="two.example.test")
    fetch(
        policy,
        server.url(f"/to?url={target}", host="api.example.test"),
        headers={"authorization": "Bearer s", "x-api-key": "s", "cookie": "s=1", "accept": "a/b"},
    )
    first, second = server.received
    assert first.headers["authorization"] == "Bearer s"
    assert {"authorization", "x-api-key", "cookie"} & second.headers.keys() == set()
    assert second.headers["accept"] == "a/b"
    assert second.headers["host"].startswith("two.example.test")


def test_a_redirect_within_the_host_keeps_the_key(server: Server, attempts: list[Any]) -> None:
    fetch(policy_of(server), server.url("/to?url=/end"), headers={"authorization": "Bearer s"})
    assert server.received[1].headers["authorization"] == "Bearer s"


def test_see_other_turns_a_post_into_a_get(server: Server, attempts: list[Any]) -> None:
    fetch(policy_of(server), server.url("/to?url=/end&status=303"), method="POST", json={"a": 1})
    assert [(sent.method, sent.body) for sent in server.received] == [
        ("POST", b'{"a":1}'),
        ("GET", b""),
    ]


def test_a_temporary_redirect_repeats_the_post(server: Server, attempts: list[Any]) -> None:
    fetch(policy_of(server), server.url("/to?url=/end&status=307"), method="POST", content=b"x")
    assert [(sent.method, sent.body) for sent in server.received] == [("POST", b"x")] * 2


def test_redirects_end(server: Server, attempts: list[Any]) -> None:
    three = "/to?url=/to%3Furl%3D/to%253Furl%253D/end"
    assert fetch(policy_of(server), server.url(three)).url.endswith("/end")
    with pytest.raises(EgressError) as failure:
        fetch(policy_of(server, max_redirects=2), server.url(three))
    assert failure.value.fault is EgressFault.TOO_MANY_REDIRECTS
    assert len(server.received) == 4 + 3


@pytest.mark.parametrize("path", ["/large?bytes=5000", "/bomb?bytes=50000000"])
def test_an_answer_over_the_limit_is_dropped(
    server: Server, attempts: list[Any], path: str
) -> None:
    with pytest.raises(EgressError) as failure:
        fetch(policy_of(server, max_response_bytes=4096), server.url(path))
    assert failure.value.fault is EgressFault.TOO_LARGE


def test_an_answer_of_exactly_the_limit_is_read(server: Server, attempts: list[Any]) -> None:
    policy = policy_of(server, max_response_bytes=4096)
    assert len(fetch(policy, server.url("/large?bytes=4096")).body) == 4096
    assert len(fetch(policy, server.url("/bomb?bytes=4096")).body) == 4096


def test_a_packed_answer_is_unpacked(server: Server, attempts: list[Any]) -> None:
    assert fetch(policy_of(server), server.url("/zipped")).text() == "hello there"


@pytest.mark.parametrize("path", ["/cut", "/strange"])
def test_a_broken_packing_is_named(server: Server, attempts: list[Any], path: str) -> None:
    with pytest.raises(EgressError) as failure:
        fetch(policy_of(server), server.url(path))
    assert failure.value.fault is EgressFault.BROKEN


def test_a_sink_takes_the_body(server: Server, attempts: list[Any]) -> None:
    pieces: list[bytes] = []
    answer = fetch(policy_of(server), server.url("/large?bytes=200000"), sink=pieces.append)
    assert answer.body == b""
    assert b"".join(pieces) == b"x" * 200_000


def test_a_body_that_drips_ends_with_the_exchange(server: Server, attempts: list[Any]) -> None:
    with pytest.raises(EgressError) as failure:
        fetch(policy_of(server), server.url("/drip"), timeout_seconds=0.3)
    assert failure.value.fault is EgressFault.TIMEOUT


def test_a_body_that_drips_ends_with_the_exchange_for_coroutines(
    server: Server, attempts: list[Any]
) -> None:
    with pytest.raises(EgressError) as failure:
        asyncio.run(fetch_async(policy_of(server), server.url("/drip"), timeout_seconds=0.3))
    assert failure.value.fault is EgressFault.TIMEOUT


@pytest.mark.parametrize(
    "given",
    [
        {"method": "CONNECT"},
        {"headers": {"Host": "other.example.com"}},
        {"headers": {"Transfer-Encoding": "chunked"}},
        {"headers": {"x-a": "1\r\nx-b: 2"}},
        {"headers": {f"x-{number}": "1" for number in range(65)}},
        {"headers": {"x-number": 7}},
        {"headers": {"x-long": "1" * 20_000}},
        {"json": {"a": 1}, "content": b"x"},
        {"json": object()},
    ],
    ids=["method", "host", "framing", "injection", "count", "number", "size", "bodies", "type"],
)
def test_a_request_that_cannot_be_written_is_not_sent(
    server: Server, attempts: list[Any], given: dict[str, Any]
) -> None:
    with pytest.raises(EgressError) as failure:
        fetch(policy_of(server), server.url("/"), **given)
    assert failure.value.fault is EgressFault.INVALID
    assert server.received == []


def test_a_body_over_the_limit_is_not_sent(server: Server, attempts: list[Any]) -> None:
    with pytest.raises(EgressError) as failure:
        fetch(
            policy_of(server, max_request_bytes=10),
            server.url("/"),
            method="POST",
            content=b"x" * 11,
        )
    assert failure.value.fault is EgressFault.TOO_LARGE
    assert server.received == []


@pytest.mark.parametrize("pattern", ["", "*.com", "api.*.com", "https://x.example.com", "*."])
def test_a_host_that_is_none_cannot_be_declared(pattern: str) -> None:
    with pytest.raises(ValueError, match=r"name at least|is not a host"):
        EgressPolicy(hosts=frozenset({pattern}))


@pytest.mark.parametrize("declared", ["bücher.example", "xn--bcher-kva.example", "BÜCHER.example."])
def test_a_host_may_be_written_in_its_own_letters(
    declared: str, attempts: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(NAMES, "xn--bcher-kva.example", ["93.184.216.34"])
    for url in ("http://bücher.example/", "http://xn--bcher-kva.example/"):
        with pytest.raises(EgressError) as failure:
            fetch(EgressPolicy(hosts=frozenset({declared})), url)
        assert failure.value.fault is EgressFault.UNREACHABLE
    assert attempts == [("93.184.216.34", 80)] * 2


def test_a_wildcard_covers_subdomains_only() -> None:
    policy = EgressPolicy(hosts=frozenset({"*.Example.com"}))
    assert policy.allows("a.b.example.com", 443)
    assert policy.allows("A.EXAMPLE.COM.", 443)
    assert not policy.allows("example.com", 443)
    assert not policy.allows("badexample.com", 443)


def _certificate(name: str, folder: Path) -> tuple[Path, Path]:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    chain, private = folder / "chain.pem", folder / "key.pem"
    chain.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    private.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return chain, private


def test_tls_is_checked_against_the_name(tmp_path: Path, attempts: list[Any]) -> None:
    chain, private = _certificate("api.example.test", tmp_path)
    inward = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    inward.load_cert_chain(chain, private)
    asked: list[str] = []
    inward.sni_callback = lambda _socket, name, _context: asked.append(name)
    outward = ssl.create_default_context(cafile=str(chain))
    with serving(tls=inward) as server:
        policy = policy_of(server, "api.example.test", "two.example.test")
        with EgressClient(policy, tls=outward) as client:
            good = client.request("GET", server.url("/", host="api.example.test", scheme="https"))
            with pytest.raises(EgressError) as failure:
                client.request("GET", server.url("/", host="two.example.test", scheme="https"))
    assert good.status == 200
    assert asked == ["api.example.test", "two.example.test"]
    assert failure.value.fault is EgressFault.UNREACHABLE
