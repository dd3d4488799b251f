"""Starting a run: what is checked, what is written, what is refused."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from typing import Any, Final

from django.db import connection

from apps.executions import bounds, origins, policies, standing
from apps.executions.actions.finding import found
from apps.executions.actions.launching import launched
from apps.executions.actions.orders import POOL, Order, order, record_of, write
from apps.executions.compiled import compiled_of
from apps.executions.errors import SecretMissing
from apps.executions.events import RunReady
from apps.executions.models import Run, TriggerKind
from apps.executions.standing import Ceilings, Place, Standing
from apps.kit import events
from apps.kit.ids import uuid7
from apps.tenancy import audit, idempotency, limits, scope
from apps.tenancy.actors import Actor
from apps.tenancy.models import EnvironmentKind
from apps.tenancy.policies import require
from apps.vault.secrets import missing_secrets, variables_of
from apps.versions.actions import version_to_run
from apps.versions.actions.deployments import environment_of

_START: Final = "SELECT executions_start_3(%s, %s, %s::jsonb, %s::jsonb, %s, %s, %s)"


def start_run(
    *,
    actor: Actor,
    workflow_id: uuid.UUID,
    parameters: Mapping[str, Any] | None = None,
    environment: EnvironmentKind | uuid.UUID = EnvironmentKind.DEVELOPMENT,
    version: str | None = None,
    trigger: TriggerKind = TriggerKind.API,
    idempotency_key: str | None = None,
) -> Run:
    """Queue a run. Without `version`: development freezes the draft, elsewhere the deployed one.

    The same `idempotency_key` within a day returns the first run. Raises NotFound, NotDeployed,
    GraphInvalid, RunRefused (parameters, or something the engine does not run), SecretMissing,
    QuotaExceeded, IdempotencyMismatch; nothing is written then.
    """
    require(policies.can_run_workflow(actor), "run workflows")
    is_plain = version is None and idempotency_key is None
    if is_plain and environment is not EnvironmentKind.DEVELOPMENT:
        run = launched(
            actor=actor,
            workflow_id=workflow_id,
            environment=environment,
            given=parameters or {},
            trigger=trigger,
        )
        if run is not None:
            return run
    request = [workflow_id, parameters, environment, version, trigger]
    with (
        scope.transaction(),
        idempotency.remembered(
            operation="run.start", key=idempotency_key, request=request
        ) as memory,
    ):
        if memory.result_id is not None:
            return found(memory.result_id)
        seen = _looked(
            actor=actor, workflow_id=workflow_id, environment=environment, version=version
        )
        ready = order(seen, actor=actor, trigger=trigger, given=parameters or {})
        _require_secrets(seen)
        bounds.require_room(queue=seen.ceilings.queued, starts=seen.ceilings.starts)
        run_id = uuid7()
        memory.remember(run_id)
        if actor.user_id is not None:
            audit.record(actor=actor, **record_of(run_id, seen))
        events.publish(RunReady(tenant_id=scope.current_tenant_id(), run_id=run_id, pool=POOL))
        _start(run_id, ready)
        run = found(run_id)
    if is_plain and not connection.in_atomic_block:
        standing.look(seen, environment=environment)
    return run


def _looked(
    *,
    actor: Actor,
    workflow_id: uuid.UUID,
    environment: EnvironmentKind | uuid.UUID,
    version: str | None,
) -> Standing:
    """What stands there, piece by piece: each refuses in its own words."""
    place = environment_of(environment)
    chosen = version_to_run(
        actor=actor, workflow_id=workflow_id, environment=place, version=version
    )
    return Standing(
        digest="",
        workflow_id=workflow_id,
        place=Place(id=place.pk, kind=str(place.kind), name=place.name),
        version_id=chosen.pk,
        version=chosen.version or "",
        label=chosen.label,
        variables=variables_of(place.pk),
        ceilings=Ceilings.of(limits.ceilings()),
        compiled=compiled_of(chosen),
        installation_id=origins.installation_of(workflow_id),
    )


def _require_secrets(seen: Standing) -> None:
    names = seen.compiled.secrets
    absent = set(missing_secrets(names, seen.place.id)) if names else set()
    if absent:
        ordered = [name for name in names if name in absent]
        raise SecretMissing(ordered, environment=seen.place.name)


def _start(run_id: uuid.UUID, ready: Order) -> None:
    """Last in the transaction."""
    ceilings = ready.standing.ceilings
    write(
        _START,
        [
            scope.current_tenant_id(),
            run_id,
            json.dumps(ready.facts),
            json.dumps(ready.event),
            ceilings.steps,
            ceilings.runs,
            ceilings.weight,
        ],
    )
