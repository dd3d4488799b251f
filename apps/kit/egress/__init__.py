"""The only way out over HTTP: a client that cannot be led to an address it may not reach.

Give it the hosts a node declared (`EgressPolicy`), get answers within a byte and a time cap. Names
are resolved once, every answer is judged, and the connection goes to the judged number, so a second
look-up cannot lead elsewhere. Retrying is the caller's affair: only the caller knows whether a
request may be sent twice.
"""

from apps.kit.egress.client import AsyncEgressClient, EgressClient
from apps.kit.egress.exchange import EgressResponse
from apps.kit.egress.policy import (
    EgressError,
    EgressFault,
    EgressPolicy,
    is_public,
    policy_for,
)

__all__ = [
    "AsyncEgressClient",
    "EgressClient",
    "EgressError",
    "EgressFault",
    "EgressPolicy",
    "EgressResponse",
    "is_public",
    "policy_for",
]
