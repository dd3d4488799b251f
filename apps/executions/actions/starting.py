"""Starting a run: what is checked, what is written, what is refused."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Mapping
from typing import Any, Final

from apps.executions import bounds, origins, policies, standing
from apps.executions.actions.chains import Chain
from apps.executions.actions.finding import found
from apps.executions.actions.launching import launched
from apps.executions.actions.orders import POOL, Order, order, record_of, write
from apps.executions.actions.parents import Parent
from apps.executions.compiled import compiled_of
from apps.executions.errors import SecretMissing
from apps.executions.events import RunReady
from apps.executions.models import Run, TriggerKind
from apps.executions.standing import Ceilings, Place, Standing
from apps.kit import events
from apps.kit.ids import uuid7
from apps.tenancy import audit, idempotency, limits, scope
from apps.tenancy.actors import Actor
from apps.tenancy.doors import Presumed
from apps.tenancy.models import Environment, EnvironmentKind
from apps.tenancy.policies import require
from apps.vault.secrets import missing_secrets, variables_of
from apps.versions.actions import version_to_run
from apps.versions.actions.deployments import environment_of
from apps.versions.models import WorkflowVersion

_START: Final = "SELECT executions_start_7(%s, %s, %s::jsonb, %s::jsonb, %s, %s, %s)"
_CHAIN: Final = (
    "SELECT executions_chain_7(%s, %s, %s::uuid, %s, %s::text[], %s::jsonb, %s::jsonb, %s,"
    " %s::jsonb, %s::jsonb, %s, %s, %s)"
)


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
        place = environment_of(environment)
        chosen = version_to_run(
            actor=actor, workflow_id=workflow_id, environment=place, version=version
        )
        seen = looked_at(chosen, place)
        ready = order(seen, actor=actor, trigger=trigger, given=parameters or {})
        run = begin(ready, actor=actor, memory=memory)
    if is_plain and seen.place.kind != EnvironmentKind.DEVELOPMENT:
        standing.look(seen, environment=environment)
    return run


def presume_run(
    *,
    presumed: Presumed,
    workflow_id: uuid.UUID,
    parameters: Mapping[str, Any],
    environment: EnvironmentKind | uuid.UUID,
    permit: Callable[[], object],
) -> Run | None:
    """Queue a run in the one statement that looks at the caller's key as well; None: start it.

    `permit` is asked right before that, and may refuse.
    """
    require(policies.can_run_workflow(presumed.actor), "run workflows")
    if environment is EnvironmentKind.DEVELOPMENT:
        return None
    return launched(
        actor=presumed.actor,
        workflow_id=workflow_id,
        environment=environment,
        given=parameters,
        trigger=TriggerKind.API,
        mark=presumed.mark,
        permit=permit,
    )


def begin(
    ready: Order,
    *,
    actor: Actor,
    memory: idempotency.Memory,
    chain: Chain | None = None,
    parent: Parent | None = None,
) -> Run:
    """Check what the run needs and queue it; the last in the caller's transaction."""
    seen = ready.standing
    _require_secrets(seen)
    bounds.require_room(queue=seen.ceilings.queued, starts=seen.ceilings.starts)
    run_id = uuid7()
    memory.remember(run_id)
    if actor.user_id is not None and parent is None:
        audit.record(actor=actor, **record_of(run_id, seen))
    events.publish(RunReady(tenant_id=scope.current_tenant_id(), run_id=run_id, pool=POOL))
    _start(run_id, ready, chain, {} if parent is None else parent.facts())
    return found(run_id)


def looked_at(chosen: WorkflowVersion, place: Environment) -> Standing:
    """What a run of this version would take there; each refuses in its own words."""
    return Standing(
        digest="",
        workflow_id=chosen.workflow_id,
        place=Place(id=place.pk, kind=str(place.kind), name=place.name),
        version_id=chosen.pk,
        version=chosen.version or "",
        label=chosen.label,
        variables=variables_of(place.pk),
        ceilings=Ceilings.of(limits.ceilings()),
        compiled=compiled_of(chosen),
        installation_id=origins.installation_of(chosen.workflow_id),
    )


def _require_secrets(seen: Standing) -> None:
    names = seen.compiled.secrets
    absent = set(missing_secrets(names, seen.place.id)) if names else set()
    if absent:
        ordered = [name for name in names if name in absent]
        raise SecretMissing(ordered, environment=seen.place.name)


def _start(
    run_id: uuid.UUID, ready: Order, chain: Chain | None, parentage: Mapping[str, Any]
) -> None:
    """Last in the transaction."""
    ceilings = ready.standing.ceilings
    facts = {**ready.facts, **parentage, **({} if chain is None else chain.facts())}
    write(
        _START if chain is None else _CHAIN,
        [
            scope.current_tenant_id(),
            run_id,
            *([] if chain is None else chain.seeds()),
            json.dumps(facts),
            json.dumps(ready.event),
            ceilings.steps,
            ceilings.runs,
            ceilings.weight,
        ],
    )
