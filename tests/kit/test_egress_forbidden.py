"""What the guarded client must never connect to, in every notation an attacker may choose."""

import asyncio
import ipaddress
from typing import Any

import pytest
from django.conf import settings
from hypothesis import given
from hypothesis import strategies as st

from apps.kit.egress import EgressError, EgressFault, EgressPolicy, is_public, policy_for
from tests.kit.egress_calls import fetch, fetch_async

FORBIDDEN = [
    "http://127.0.0.1/",
    "http://127.1/",
    "http://127.0.0.1.:80/",
    "http://2130706433/",
    "http://0x7f000001/",
    "http://0x7f.1/",
    "http://0177.0.0.1/",
    "http://017700000001/",
    "http://0/",
    "http://0.0.0.0/",
    "http://127.127.127.127/",
    "http://localhost/",
    "http://LOCALHOST/",
    "http://localhost./",
    "http://10.0.0.1/",
    "http://172.16.0.1/",
    "http://172.31.255.255/",
    "http://192.168.1.1/",
    "http://169.254.169.254/latest/meta-data/",
    "http://2852039166/",
    "http://0xa9fea9fe/",
    "http://100.64.0.1/",
    "http://100.100.100.200/",
    "http://168.63.129.16/",
    "http://192.0.0.192/",
    "http://192.0.2.1/",
    "http://198.18.0.1/",
    "http://198.51.100.1/",
    "http://203.0.113.1/",
    "http://192.88.99.1/",
    "http://224.0.0.1/",
    "http://240.0.0.1/",
    "http://255.255.255.255/",
    "http://[::1]/",
    "http://[::]/",
    "http://[0:0:0:0:0:0:0:1]/",
    "http://[::ffff:127.0.0.1]/",
    "http://[::ffff:a9fe:a9fe]/",
    "http://[::7f00:1]/",
    "http://[64:ff9b::7f00:1]/",
    "http://[64:ff9b:1::a9fe:a9fe]/",
    "http://[2002:7f00:1::]/",
    "http://[2001:0:7f00:1::]/",
    "http://[2001:db8::1]/",
    "http://[3fff::1]/",
    "http://[fc00::1]/",
    "http://[fd00:ec2::254]/",
    "http://[fe80::1]/",
    "http://[fec0::1]/",
    "http://[ff02::1]/",
    "http://private.example.com/",
    "http://mixed.example.com/",
    "http://mixed6.example.com/",
    "http://metadata.example.com/",
    "http://unknown.example.com/",
    "http://public.example.com:22/",
    "http://public.example.com:6379/",
    "http://public.example.com@127.0.0.1/",
    "http://127.0.0.1#@public.example.com/",
    "http://127.0.0.1\\@public.example.com/",
    "http://①②⑦.⓪.⓪.①/",
    "ftp://public.example.com/",
    "file:///etc/passwd",
    "gopher://127.0.0.1:6379/_INFO",
    "//127.0.0.1/",
    "http:///etc/passwd",
    "unix:///var/run/docker.sock",
]


@pytest.mark.parametrize("url", FORBIDDEN)
def test_a_forbidden_url_is_never_connected_to(url: str, attempts: list[Any]) -> None:
    with pytest.raises(EgressError) as refusal:
        fetch(EgressPolicy(hosts=frozenset({"*"})), url)
    assert refusal.value.fault in (EgressFault.REFUSED, EgressFault.INVALID)
    assert attempts == []


@pytest.mark.parametrize("url", FORBIDDEN)
def test_a_forbidden_url_is_never_connected_to_by_coroutines(url: str, attempts: list[Any]) -> None:
    with pytest.raises(EgressError) as refusal:
        asyncio.run(fetch_async(EgressPolicy(hosts=frozenset({"*"})), url))
    assert refusal.value.fault in (EgressFault.REFUSED, EgressFault.INVALID)
    assert attempts == []


def test_an_unknown_name_and_a_private_address_sound_alike(attempts: list[Any]) -> None:
    sentences = set()
    for url in ("http://unknown.example.com/", "http://private.example.com/", "http://10.0.0.1/"):
        with pytest.raises(EgressError) as refusal:
            fetch(EgressPolicy(hosts=frozenset({"*"})), url)
        sentences.add(str(refusal.value))
    assert len(sentences) == 1


def test_a_deployment_opens_loopback_by_host_and_port_only(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(settings, "EGRESS_ALLOW_LOOPBACK", ("127.0.0.1:8401", "[::1]:8402"))
    policy = policy_for(["127.0.0.1", "::1"])
    assert policy.allows("127.0.0.1", 8401)
    assert policy.allows("::1", 8402)
    assert not policy.allows("127.0.0.1", 8402)
    with pytest.raises(EgressError):
        policy.judged("127.0.0.1", 80, ("127.0.0.1",))


def test_a_pair_without_a_port_is_a_mistake(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "EGRESS_ALLOW_LOOPBACK", ("127.0.0.1",))
    with pytest.raises(ValueError, match="host:port"):
        policy_for(["127.0.0.1"])


@given(st.ip_addresses(v=4) | st.ip_addresses(v=6))
def test_nothing_is_public_that_the_standard_library_calls_private(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address,
) -> None:
    assert not is_public(str(address)) or address.is_global


@given(st.ip_addresses(v=4))
def test_an_address_in_another_s_clothes_is_never_public(address: ipaddress.IPv4Address) -> None:
    number = int(address)
    for prefix in ("::", "::ffff:0:0", "64:ff9b::", "64:ff9b:1::"):
        assert not is_public(
            str(ipaddress.IPv6Address(int(ipaddress.IPv6Address(prefix)) + number))
        )
    for carrier, place in (("2002::", 80), ("2001::", 64)):
        shifted = int(ipaddress.IPv6Address(carrier)) + (number << place)
        assert not is_public(str(ipaddress.IPv6Address(shifted)))


def test_ordinary_addresses_are_public() -> None:
    for address in ("93.184.216.34", "8.8.8.8", "2606:4700::1111", "2a00:1450:4001::200e"):
        assert is_public(address)


def test_the_table_names_every_private_block_the_standard_library_knows() -> None:
    closed = ("10.1.2.3", "127.9.9.9", "192.168.3.4", "172.20.1.1", "169.254.1.1", "0.1.2.3")
    assert all(ipaddress.ip_address(address).is_private for address in closed)
    assert not any(map(is_public, closed))
