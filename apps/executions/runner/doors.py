"""What a step needs from the platform, as ports; `platform.py` has the real ones."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import Any, BinaryIO, NamedTuple, Protocol

from apps.kit.egress import EgressClient
from apps.workflows.graph.context import ArtifactRef


class SecretSource(Protocol):
    """The vault, for one tenant and one environment."""

    def open(self, name: str) -> str:
        """The value; raises LookupError when there is none."""


class ObjectStore(Protocol):
    """The tenant's stored objects."""

    def open(self, reference: ArtifactRef) -> BinaryIO:
        """A stream of verified content; raises LookupError or ValueError (damaged)."""

    def put(self, content: BinaryIO, *, media_type: str) -> ArtifactRef:
        """Store what the stream holds; raises a Refusal when the quota is used up."""


OpenEgress = Callable[[frozenset[str]], AbstractContextManager[EgressClient]]
"""A guarded client that reaches these hosts only."""


class CachedOutputs(NamedTuple):
    """What the step cache has under a digest, made whole with the versions of secrets."""

    digest: bytes
    outputs: Mapping[str, Any] | None


class ResultCache(Protocol):
    """Results of the tenant's pure steps; fails nobody."""

    def find(self, digest: bytes, *, secrets: frozenset[str]) -> CachedOutputs | None:
        """In one round trip; None when the cache does not answer."""

    def keep(
        self, digest: bytes, outputs: Mapping[str, Any], *, node_type: str, seconds: int
    ) -> None:
        """For so long, if it can be kept."""


class Doors(NamedTuple):
    """Everything outside the step, already bound to its tenant and environment; made per step."""

    secrets: SecretSource
    objects: ObjectStore
    egress: OpenEgress
    results: ResultCache | None = None
