"""One call with the guarded client, for tests."""

from typing import Any

from apps.kit.egress import AsyncEgressClient, EgressClient, EgressPolicy, EgressResponse
from tests.kit.egress_server import Server


def policy_of(server: Server, *hosts: str, **named: Any) -> EgressPolicy:
    names = hosts or ("127.0.0.1",)
    return EgressPolicy(
        hosts=frozenset(names), loopback=frozenset((name, server.port) for name in names), **named
    )


def fetch(policy: EgressPolicy, url: str, *, method: str = "GET", **named: Any) -> EgressResponse:
    with EgressClient(policy) as client:
        return client.request(method, url, **named)


async def fetch_async(policy: EgressPolicy, url: str, **named: Any) -> EgressResponse:
    async with AsyncEgressClient(policy) as client:
        return await client.request("GET", url, **named)
