"""Testing a draft: one node alone, or the whole of it with sample data."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from apps.executions import policies
from apps.executions.actions.chains import Chain
from apps.executions.actions.finding import found
from apps.executions.actions.orders import order
from apps.executions.actions.pinning import node_of, pinned
from apps.executions.actions.repeating import require_inputs, require_storable
from apps.executions.actions.starting import begin, looked_at
from apps.executions.engine.lineage import path_to, step_at
from apps.executions.engine.seeds import StepGiven
from apps.executions.errors import ConsentMissing, RunRefused
from apps.executions.models import Run, TriggerKind
from apps.executions.standing import Standing
from apps.tenancy import idempotency, scope
from apps.tenancy.actors import Actor
from apps.tenancy.models import EnvironmentKind
from apps.tenancy.policies import require
from apps.versions.actions import snapshot_draft
from apps.versions.actions.deployments import environment_of
from apps.workflows.graph.declaration import Effect
from apps.workflows.graph.mapping import MAX_ITEMS


@dataclass(frozen=True, kw_only=True, slots=True)
class Trial:
    """`inputs` arrive at the node's ports; `consents` lets a node that acts on the world act.

    `item` and `index` are what these words mean inside a container, and what comes in by its wall.
    """

    node_id: str
    inputs: Mapping[str, Any] = field(default_factory=dict)
    item: Any = None
    index: int = 0
    use_pinned: bool = True
    consents: bool = False


def try_node(
    *, actor: Actor, workflow_id: uuid.UUID, trial: Trial, idempotency_key: str | None = None
) -> Run:
    """Queue a run of the draft in development in which one node runs.

    Its expressions read the pinned outputs of other nodes. It is a run like others: metered, in
    the history, with logs. Raises what a start raises, ConsentMissing, RunRefused (NODE_UNKNOWN,
    NODE_IS_CONTAINER, NODE_DISABLED, INPUT_UNKNOWN, INPUT_NOT_STORABLE).
    """
    require(policies.can_run_workflow(actor), "run workflows")
    request = [workflow_id, trial.node_id, trial.inputs, trial.use_pinned]
    if trial.item is not None or trial.index:
        request += [trial.item, trial.index]
    with scope.transaction(), _remembered("node.test", idempotency_key, request) as memory:
        if memory.result_id is not None:
            return found(memory.result_id)
        seen = _draft(actor, workflow_id)
        path = _require_fit(seen, trial)
        others = pinned(workflow_id, seen.compiled.document) if trial.use_pinned else ()
        alone = StepGiven(path=path, inputs=dict(trial.inputs), alone=True, item=trial.item)
        # What is said first isolates: the outputs of others are read, and start nothing.
        given = (alone, *(one for one in others if one.path != trial.node_id))
        ready = order(seen, actor=actor, trigger=_trigger(actor), given={})
        return begin(ready, actor=actor, memory=memory, chain=_chain(seen, given))


def try_draft(
    *,
    actor: Actor,
    workflow_id: uuid.UUID,
    parameters: Mapping[str, Any],
    idempotency_key: str | None = None,
) -> Run:
    """Queue a run of the draft in development in which pinned nodes give their sample data."""
    require(policies.can_run_workflow(actor), "run workflows")
    request = [workflow_id, parameters]
    with scope.transaction(), _remembered("draft.test", idempotency_key, request) as memory:
        if memory.result_id is not None:
            return found(memory.result_id)
        seen = _draft(actor, workflow_id)
        given = pinned(workflow_id, seen.compiled.document)
        ready = order(seen, actor=actor, trigger=_trigger(actor), given=parameters)
        return begin(ready, actor=actor, memory=memory, chain=_chain(seen, given))


def _draft(actor: Actor, workflow_id: uuid.UUID) -> Standing:
    version = snapshot_draft(actor=actor, workflow_id=workflow_id)
    return looked_at(version, environment_of(EnvironmentKind.DEVELOPMENT))


def _chain(seen: Standing, given: tuple[StepGiven, ...]) -> Chain:
    top = seen.compiled.plan.positions
    return Chain(given=given, has_inner=any(one.path not in top for one in given))


def _require_fit(seen: Standing, trial: Trial) -> str:
    """The path of the step."""
    plan, node_id = seen.compiled.plan, trial.node_id
    node_of(seen.compiled.document, node_id)
    if not 0 <= trial.index < MAX_ITEMS:
        message = f"The index is a number from 0 to {MAX_ITEMS - 1:,}."
        raise RunRefused("INDEX_INVALID", message, path=("index",))
    path = path_to(plan, node_id, index=trial.index)
    step = None if path is None else step_at(plan, path)
    if path is None or step is None:
        message = "A disabled node does not run; enable it first."
        raise RunRefused("NODE_DISABLED", message, path=("nodeId",))
    if step.body is not None:
        message = "A container is tested in a run of the draft, or by the nodes in it."
        raise RunRefused("NODE_IS_CONTAINER", message, path=("nodeId",))
    require_inputs(step, trial.inputs)
    require_storable(trial.item, path=("item",))
    effect = step.node_type.effect
    if effect is not Effect.PURE and not trial.consents:
        raise ConsentMissing(node_id, effect=effect.value)
    return path


def _trigger(actor: Actor) -> TriggerKind:
    return TriggerKind.MANUAL if actor.api_key_id is None else TriggerKind.API


def _remembered(operation: str, key: str | None, request: list[Any]) -> Any:
    return idempotency.remembered(operation=operation, key=key, request=request)
