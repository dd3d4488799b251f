"""The call of one attempt: what a step may know, from whoever owns its run or was handed it."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace

from apps.executions.engine.asking import is_unsure
from apps.executions.engine.fold import RunState
from apps.executions.engine.paths import node_of
from apps.executions.engine.plan import Step
from apps.executions.engine.ports import StepCall, StepDone, StepFailed
from apps.executions.engine.seeds import NOTHING_GIVEN, Origin, StepGiven, top_of
from apps.executions.engine.slice_ports import Claim


def deadline_of(claim: Claim, step: Step, *, started_at: dt.datetime) -> dt.datetime:
    """The earlier of the attempt's own time and the run's; what undoes has time of its own."""
    own = started_at + step.timeout
    return own if step.undoes or claim.deadline_at is None else min(own, claim.deadline_at)


def call_of(
    claim: Claim,
    state: RunState,
    step: Step,
    *,
    attempt: int,
    started_at: dt.datetime,
    interrupted: bool = False,
    given: StepDone | StepFailed | None = None,
) -> StepCall:
    """One attempt; `interrupted` when an earlier try of it left no outcome.

    `given`: its outcome came from elsewhere.
    """
    frame = state.frame_of(step)
    path = state.frame.prefix + step.path
    said = given_to(state, step.path) if state.given else NOTHING_GIVEN
    inputs = state.inputs_of(step)
    if said.inputs is not None:
        inputs |= said.inputs
    failure = state.records[step.index].failure if step.needs_intent else None
    is_last = failure is not None and is_unsure(step, failure.code, attempt=attempt - 1)
    return StepCall(
        tenant_id=claim.tenant_id,
        run_id=claim.run_id,
        lineage_id=claim.lineage_id,
        workflow_id=claim.workflow_id,
        environment=claim.environment,
        environment_id=claim.environment_id,
        node=step.node,
        node_type=step.node_type,
        path=path,
        attempt=attempt,
        generation=said.generation if state.given else state.frame.generation,
        inputs=inputs,
        parameters=claim.parameters,
        variables=claim.variables,
        upstream=state.upstream_of(step),
        outgoing=step.connections,
        started_at=started_at,
        deadline_at=deadline_of(claim, step, started_at=started_at),
        fence=claim.token,
        index=frame.index,
        item=frame.item,
        scope=state.frame.scope,
        inside=state.inside_of(step) if step.body is not None else None,
        interrupted=interrupted,
        installation_id=claim.installation_id,
        given=given or _pinned(said),
        unsure=failure.code if failure is not None and is_last else None,
    )


def given_to(state: RunState, path: str) -> StepGiven:
    """What was said of a step before the run; of its container or caller, where it has one.

    A pin of a node counts wherever the node would run: in each iteration, for each item.
    """
    if not state.given:
        return StepGiven(path=path, generation=state.frame.generation)
    found = state.given.get(path)
    if found is not None:
        return found
    around, pin = state.given.get(top_of(path)), state.given.get(node_of(path))
    return StepGiven(
        path=path,
        generation=state.frame.generation if around is None else around.generation,
        outputs=None if pin is None else pin.outputs,
    )


def said_of_item(state: RunState, path: str, index: int) -> StepGiven:
    """What was said of one item of a map, or of the map."""
    found = state.given.get(f"{path}[{index}]") if state.given else None
    return found or given_to(state, path)


def given_below(state: RunState, path: str, index: int) -> dict[str, StepGiven]:
    """What was said of steps in an item of a map, by their paths there; and all pins."""
    if not state.given:
        return {}
    begin = f"{path}[{index}]/"
    found = {one: said for one, said in state.given.items() if said.outputs is not None}
    for one, said in state.given.items():
        if one.startswith(begin):
            inside = one[len(begin) :]
            found[inside] = replace(said, path=inside)
    return found


def _pinned(given: StepGiven) -> StepDone | None:
    if given.outputs is None:
        return None
    return StepDone(outputs=given.outputs, origin=Origin.PINNED)
