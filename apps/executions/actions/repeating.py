"""Going on from a finished run: a retry or a fork is a new run of the same lineage."""

from __future__ import annotations

import uuid
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final

from apps.executions import lineages, policies
from apps.executions.actions.chains import Chain
from apps.executions.actions.finding import found, require_whole
from apps.executions.actions.forking import Level, carried, generation_at, levels, whole
from apps.executions.actions.orders import order
from apps.executions.actions.starting import begin, looked_at
from apps.executions.compiled import Compiled, compiled_of
from apps.executions.engine.lineage import step_at
from apps.executions.engine.plan import Plan, Step
from apps.executions.engine.seeds import StepGiven, top_of
from apps.executions.engine.storable import INLINE_LIMIT, Unstorable, dumps
from apps.executions.errors import EffectsNeedConsent, PastEffect, RunRefused
from apps.executions.models import Run, TriggerKind
from apps.tenancy import idempotency, scope
from apps.tenancy.actors import Actor
from apps.tenancy.models import EnvironmentKind
from apps.tenancy.policies import require
from apps.versions.actions import snapshot_draft
from apps.versions.actions.commits import found as version_of
from apps.versions.actions.commits import numbered
from apps.versions.actions.deployments import environment_of
from apps.versions.models import WorkflowVersion
from apps.workflows.actions import living
from apps.workflows.graph.interface import interface_of

DRAFT: Final = "draft"
"""What `version` says for the draft as it is now; only in development."""


@dataclass(frozen=True, kw_only=True)
class Again:
    """How to go on: `version` None is the run's own; `confirmed` are steps, by path or node."""

    version: str | None = None
    confirmed: Collection[str] = ()
    idempotency_key: str | None = None


def retry_run(
    *,
    actor: Actor,
    run_id: uuid.UUID,
    checkpoint: int | None = None,
    again: Again | None = None,
) -> Run:
    """Run again what failed or never ran, and all behind it; what succeeded is taken over.

    With a `checkpoint`, the number of an event: only what had settled by then is taken over. On
    another version a step is taken over when it behaves the same there and so does all before it.
    Raises RunRefused (RUN_NOT_FINISHED, CHECKPOINT_UNKNOWN, NOTHING_TO_RETRY, LINEAGE_RUNNING),
    EffectsNeedConsent, and what a start raises; nothing is written then.
    """
    require(policies.can_run_workflow(actor), "run workflows")
    how = again or Again()
    with scope.transaction(), _remembered(["retry", run_id, checkpoint], how) as memory:
        if memory.result_id is not None:
            return found(memory.result_id)
        repeat = _Repeat(actor, found(run_id), how)
        source = repeat.source
        if checkpoint is not None and not 0 < checkpoint <= source.head:
            message = "The run has no such checkpoint; take one from its list."
            raise RunRefused("CHECKPOINT_UNKNOWN", message, path=("fromCheckpoint",))
        return repeat.begin(memory, until=checkpoint)


def fork_run(
    *,
    actor: Actor,
    run_id: uuid.UUID,
    path: str,
    inputs: Mapping[str, Any] | None = None,
    again: Again | None = None,
) -> Run:
    """Run a step and all behind it again, `inputs` in place of what arrived at these ports.

    Raises what `retry_run` raises, and RunRefused (STEP_UNKNOWN, STEP_INSIDE, STEP_NOT_REACHED,
    INPUT_UNKNOWN, INPUT_NOT_STORABLE).
    """
    require(policies.can_run_workflow(actor), "run workflows")
    how = again or Again()
    with scope.transaction(), _remembered(["fork", run_id, path, inputs], how) as memory:
        if memory.result_id is not None:
            return found(memory.result_id)
        repeat = _Repeat(actor, found(run_id), how)
        edited = _edited(repeat.new.plan, path, inputs)
        return repeat.begin(memory, fork=path, edited=edited)


def _remembered(request: list[Any], how: Again) -> Any:
    whole = [*request, how.version, sorted(how.confirmed)]
    return idempotency.remembered(operation="run.again", key=how.idempotency_key, request=whole)


class _Repeat:
    """One run on its way to its successor."""

    def __init__(self, actor: Actor, source: Run, how: Again) -> None:
        """Raises RunRefused for a run that goes on by itself."""
        require_whole(source)
        if not source.status.is_terminal:
            message = "The run is still going; cancel it or wait for its end."
            raise RunRefused("RUN_NOT_FINISHED", message, path=("executionId",))
        self.actor = actor
        self.source = source
        self.how = how
        self.place = environment_of(source.environment_id)
        before = version_of(source.version_id)
        self.version = self._version(before)
        self.old: Compiled = compiled_of(before)
        self.new: Compiled = compiled_of(self.version)

    def begin(
        self,
        memory: idempotency.Memory,
        *,
        until: int | None = None,
        fork: str | None = None,
        edited: Mapping[str, Any] | None = None,
    ) -> Run:
        """Queue the successor."""
        source = self.source
        seq = source.head if until is None else until
        state = lineages.state_at(source, self.old.plan, seq=seq)
        plan = self.new.plan
        if fork is not None:
            found = levels(source, state, plan, old=self.old.plan, fork=fork)
        else:
            # Of a checkpoint nobody knows which items were done by then.
            found = [whole(source, state, plan, goes_on=seq == source.head)]
        inherited, spared = found[0].inherited, found[0].spared
        if all(plan.step(path).standby for path in inherited.redone):
            message = "Everything succeeded: fork the run from a step, or start a new one."
            raise RunRefused("NOTHING_TO_RETRY", message, path=("executionId",))
        lineages.lock(source.lineage_id)
        given = self._given(found)
        given |= {one.path: one for one in carried(found, given, is_retry=fork is None)}
        if fork is not None and edited is not None:
            generation = generation_at(found[-1], given, fork)
            given[fork] = StepGiven(path=fork, generation=generation, inputs=edited)
        chain = Chain(
            source=source,
            until=seq,
            kept=inherited.kept,
            opened=inherited.opened,
            given=tuple(given.values()),
            has_inner=bool(inherited.opened) or any("[" in path for path in given),
        )
        is_key = self.actor.api_key_id is not None
        ready = order(
            looked_at(self.version, self.place),
            actor=self.actor,
            trigger=TriggerKind.API if is_key else TriggerKind.MANUAL,
            given=self._parameters(),
        )
        run = begin(ready, actor=self.actor, memory=memory, chain=chain)
        if spared.maps:
            lineages.take_over_items(source.pk, run.pk, spared)
        return run

    def _version(self, before: WorkflowVersion) -> WorkflowVersion:
        workflow_id = self.source.workflow_id
        living(workflow_id)
        if self.how.version is None:
            return before
        if self.how.version != DRAFT:
            return numbered(workflow_id, self.how.version)
        if self.place.kind != EnvironmentKind.DEVELOPMENT:
            message = "A draft runs in development only; commit it and name its version."
            raise RunRefused("DRAFT_NOT_HERE", message, path=("version",))
        return snapshot_draft(actor=self.actor, workflow_id=workflow_id)

    def _parameters(self) -> dict[str, Any]:
        """Those of the source that the version still takes."""
        declared = {one.name for one in self.new.document.configuration.parameters}
        return {name: v for name, v in self.source.parameters.items() if name in declared}

    def _given(self, found: list[Level]) -> dict[str, StepGiven]:
        """Generations: a step that has had its effect gets a new one, by consent only."""
        effects = self._past_effects(found)
        fresh = {effect.path for effect in effects if not effect.in_doubt}
        generation = lineages.next_generation(self.source.lineage_id) if fresh else 1
        given: dict[str, StepGiven] = {}
        for level in found:
            given |= level.given(fresh, generation)
        return given

    def _past_effects(self, found: list[Level]) -> tuple[PastEffect, ...]:
        if not any(level.acts for level in found):
            return ()
        if lineages.members(self.source.lineage_id).open().exists():
            message = "Another run of this lineage is still going; cancel it or wait for its end."
            raise RunRefused("LINEAGE_RUNNING", message, path=("executionId",))
        effects = tuple(effect for level in found for effect in level.effects())
        confirmed = set(self.how.confirmed)
        if any(not confirmed & {one.path, one.node_id, top_of(one.path)} for one in effects):
            raise EffectsNeedConsent(effects)
        return effects


def _edited(plan: Plan, path: str, inputs: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    """The inputs as given, if the step has these ports and history can hold them."""
    step = step_at(plan, path)
    if step is None:
        caller = path.rpartition("/")[0]
        if caller and step_at(plan, caller):
            message = f"A step that another calls runs with it: fork from {caller}."
            raise RunRefused("STEP_INSIDE", message, path=("fromPath",))
        message = "The version that would run has no such step; name one of its own."
        raise RunRefused("STEP_UNKNOWN", message, path=("fromPath",))
    if inputs is None:
        return None
    require_inputs(step, inputs)
    return inputs


def require_inputs(step: Step, inputs: Mapping[str, Any]) -> None:
    """Raises RunRefused unless the step has these ports and history can hold the values."""
    ports = interface_of(step.node, step.node_type).inputs
    for name in inputs:
        if name not in ports or ports[name].inner:
            listed = ", ".join(one for one, port in ports.items() if not port.inner) or "none"
            message = f"The step has no input `{name}`; it takes {listed}."
            raise RunRefused("INPUT_UNKNOWN", message, path=("input", str(name)))
    require_storable(inputs, path=("input",))


def require_storable(value: Any, *, path: tuple[str, ...]) -> None:
    """Raises RunRefused unless history can hold it."""
    try:
        dumps(value, limit=INLINE_LIMIT)
    except Unstorable as error:
        raise RunRefused("INPUT_NOT_STORABLE", str(error), path=path) from error
