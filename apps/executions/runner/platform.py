"""The real vault, store and egress behind a step's doors, bound to the tenant of its run."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import BinaryIO, NamedTuple
from uuid import UUID

from apps.artifacts.actions import store_artifact
from apps.artifacts.contents import open_artifact
from apps.artifacts.errors import ArtifactMissing, DigestMismatch
from apps.executions.engine.ports import StepCall
from apps.executions.runner.doors import Doors, ObjectStore
from apps.executions.runner.inside import inside
from apps.executions.runner.results import Results
from apps.kit.egress import EgressClient, policy_for
from apps.vault.errors import SecretMissing, SecretUnreadable
from apps.vault.secrets import open_secret
from apps.workflows.graph.context import ArtifactRef, NodeError


def doors(call: StepCall) -> Doors:
    """Everything the step of this call may reach."""
    return Doors(
        secrets=_Vault(tenant_id=call.tenant_id, environment_id=call.environment_id),
        objects=_Store(tenant_id=call.tenant_id, run_id=call.run_id),
        egress=_egress,
        results=Results(tenant_id=call.tenant_id, environment_id=call.environment_id),
    )


def store_of(tenant_id: UUID, run_id: UUID) -> ObjectStore:
    """A tenant's objects; what is stored is the run's."""
    return _Store(tenant_id=tenant_id, run_id=run_id)


def _egress(hosts: frozenset[str]) -> AbstractContextManager[EgressClient]:
    return EgressClient(policy_for(hosts))


class _Vault(NamedTuple):
    """Secrets of one environment."""

    tenant_id: UUID
    environment_id: UUID

    def open(self, name: str) -> str:
        try:
            with inside(self.tenant_id):
                return open_secret(name, self.environment_id)
        except SecretMissing as error:
            raise LookupError(name) from error
        except SecretUnreadable as error:
            raise NodeError("SECRET_UNREADABLE", str(error)) from None


class _Store(NamedTuple):
    """Objects of one tenant; what a step stores is remembered as its run's."""

    tenant_id: UUID
    run_id: UUID

    def open(self, reference: ArtifactRef) -> BinaryIO:
        try:
            with inside(self.tenant_id):
                return open_artifact(reference.digest)
        except ArtifactMissing as error:
            raise LookupError(reference.digest) from error
        except DigestMismatch as error:
            raise ValueError(error.message) from error

    def put(self, content: BinaryIO, *, media_type: str) -> ArtifactRef:
        with inside(self.tenant_id):
            stored = store_artifact(content, media_type=media_type, run_id=self.run_id)
        return ArtifactRef(digest=stored.digest, media_type=stored.media_type, bytes=stored.bytes)
