"""Which hosts, ports and addresses a request may reach, and how a refusal sounds."""

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

import idna
from django.conf import settings

# Written out because `ipaddress.is_global` calls several of these public (metadata, multicast).
_CLOSED_V4: Final = tuple(
    ipaddress.IPv4Network(block)
    for block in (
        "0.0.0.0/8",  # this network
        "10.0.0.0/8",  # private
        "100.64.0.0/10",  # carrier NAT, and some clouds' metadata
        "127.0.0.0/8",  # loopback
        "168.63.129.16/32",  # Azure wire server
        "169.254.0.0/16",  # link local, cloud metadata
        "172.16.0.0/12",  # private
        "192.0.0.0/24",  # protocol assignments, Oracle metadata
        "192.0.2.0/24",  # documentation
        "192.31.196.0/24",  # AS112
        "192.52.193.0/24",  # AMT
        "192.88.99.0/24",  # 6to4 relay
        "192.168.0.0/16",  # private
        "192.175.48.0/24",  # AS112
        "198.18.0.0/15",  # benchmarking
        "198.51.100.0/24",  # documentation
        "203.0.113.0/24",  # documentation
        "224.0.0.0/4",  # multicast
        "240.0.0.0/4",  # reserved, broadcast
    )
)
# Global unicast only: mapped, NAT64, unique local, link local and site local all lie outside.
_OPEN_V6: Final = ipaddress.IPv6Network("2000::/3")
_CLOSED_V6: Final = tuple(
    ipaddress.IPv6Network(block)
    for block in (
        "2001::/23",  # protocol assignments, Teredo, ORCHID
        "2001:db8::/32",  # documentation
        "2002::/16",  # 6to4 carries an IPv4 address
        "2620:4f:8000::/48",  # AS112
        "3fff::/20",  # documentation
    )
)
ANY_HOST: Final = "*"
_MAX_HOST_CHARACTERS: Final = 253


class EgressFault(StrEnum):
    """Why a request has no answer."""

    REFUSED = "EGRESS_REFUSED"
    INVALID = "EGRESS_INVALID_REQUEST"
    UNREACHABLE = "EGRESS_UNREACHABLE"
    TIMEOUT = "EGRESS_TIMEOUT"
    BROKEN = "EGRESS_BROKEN_ANSWER"
    TOO_LARGE = "EGRESS_TOO_LARGE"
    TOO_MANY_REDIRECTS = "EGRESS_TOO_MANY_REDIRECTS"


# One sentence for an undeclared host, a forbidden address and a name that does not exist:
# a different answer for each would let a workflow map the network it runs in.
_REFUSED: Final = (
    "The request was refused: its host is not among the declared hosts, or does not lead to a "
    "public address on an allowed port. Declare the host, and use a public HTTP or HTTPS address."
)


class EgressError(Exception):
    """A request without an answer. REFUSED, INVALID, UNREACHABLE: this request was not sent."""

    def __init__(self, fault: EgressFault, message: str) -> None:
        super().__init__(message)
        self.fault = fault
        self.message = message

    @property
    def retryable(self) -> bool:
        """Whether a later attempt may fare better; whether it may be made, the caller knows."""
        return self.fault in (EgressFault.UNREACHABLE, EgressFault.TIMEOUT, EgressFault.BROKEN)


def refused() -> EgressError:
    """The one refusal of everything that may not be reached."""
    return EgressError(EgressFault.REFUSED, _REFUSED)


def is_public(address: str) -> bool:
    """Whether a tenant may reach a numeric address, e.g. "93.184.216.34" or "fe80::1%eth0"."""
    number = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(number, ipaddress.IPv4Address):
        return not any(number in block for block in _CLOSED_V4)
    return number in _OPEN_V6 and not any(number in block for block in _CLOSED_V6)


def _plain_host(host: str) -> str:
    """Lower case, without brackets or final dot, in the letters that go over the wire (IDNA)."""
    plain = host.strip().strip("[]").rstrip(".").lower()
    if plain.isascii():
        return plain
    wild = "*." if plain.startswith("*.") else ""
    try:
        return wild + idna.encode(plain.removeprefix("*."), uts46=True).decode()
    except idna.IDNAError as error:
        raise ValueError(f"{host!r} is not a host name.") from error


def _checked_pattern(pattern: str) -> str:
    plain = _plain_host(pattern)
    labels = plain.removeprefix("*.")
    wild = labels != plain
    if pattern.strip() == ANY_HOST:
        return plain
    if not labels or len(plain) > _MAX_HOST_CHARACTERS or "*" in labels or "/" in labels:
        raise ValueError(f"{pattern!r} is not a host: write api.example.com, *.example.com or *.")
    if wild and "." not in labels:
        raise ValueError(
            f"{pattern!r} covers a whole top-level domain: name at least one label more."
        )
    return plain


@dataclass(frozen=True, kw_only=True)
class EgressPolicy:
    """What one caller may reach.

    `hosts`: exact names, `*.example.com` (every subdomain, not the domain itself) or `*` (every
    public host).
    `loopback`: (host, port) pairs that may lead to this machine; for development and tests only.
    Sizes are bytes, times seconds; the time covers the whole exchange, redirects included.
    """

    hosts: frozenset[str]
    ports: frozenset[int] = frozenset({80, 443})
    loopback: frozenset[tuple[str, int]] = field(default_factory=frozenset)
    timeout_seconds: float = 30.0
    max_redirects: int = 3
    max_request_bytes: int = 10 * 1024 * 1024
    max_response_bytes: int = 50 * 1024 * 1024

    def __post_init__(self) -> None:
        object.__setattr__(self, "hosts", frozenset(_checked_pattern(host) for host in self.hosts))
        object.__setattr__(
            self, "loopback", frozenset((_plain_host(host), port) for host, port in self.loopback)
        )

    def allows(self, host: str, port: int) -> bool:
        """Whether the host is declared and the port open; addresses are judged when known."""
        plain = _plain_host(host)
        declared = (
            ANY_HOST in self.hosts
            or plain in self.hosts
            or any(
                pattern.startswith("*.") and plain.endswith(pattern[1:]) for pattern in self.hosts
            )
        )
        return declared and (port in self.ports or (plain, port) in self.loopback)

    def judged(self, host: str, port: int, addresses: tuple[str, ...]) -> tuple[str, ...]:
        """The addresses, if all may be reached; one bad answer among good ones refuses them all."""
        if not addresses:
            raise refused()
        if (_plain_host(host), port) in self.loopback:
            acceptable = all(_is_loopback(address) or is_public(address) for address in addresses)
        else:
            acceptable = port in self.ports and all(map(is_public, addresses))
        if not acceptable:
            raise refused()
        return addresses


def _is_loopback(address: str) -> bool:
    return ipaddress.ip_address(address.partition("%")[0]).is_loopback


def policy_for(hosts: Iterable[str]) -> EgressPolicy:
    """The policy of this deployment for the hosts a caller declared."""
    return EgressPolicy(
        hosts=frozenset(hosts),
        loopback=frozenset(_host_and_port(text) for text in settings.EGRESS_ALLOW_LOOPBACK),
    )


def _host_and_port(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    if not host or not port.isdecimal():
        raise ValueError(f"{text!r} in NSTARX_EGRESS_ALLOW is not host:port, e.g. 127.0.0.1:8401.")
    return host, int(port)
