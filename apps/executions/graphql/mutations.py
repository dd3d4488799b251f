"""Writes of executions: each calls one action."""

from __future__ import annotations

from typing import Any

import strawberry
from strawberry.scalars import JSON

from apps.executions import actions
from apps.executions.engine.state import StepStatus
from apps.executions.graphql import handling, repeating, testing
from apps.executions.graphql.node_runs import node_run_key
from apps.executions.graphql.types import Execution, ExecutionPayload
from apps.executions.models import TriggerKind
from apps.kit.errors import Refusal
from apps.kit.graphql.mutations import mutation
from apps.kit.graphql.nodes import key_of
from apps.tenancy.graphql.context import Info
from apps.tenancy.models import EnvironmentKind


def _mapping(parameters: JSON | None) -> dict[str, Any]:
    given: object = parameters
    if given is None:
        return {}
    if not isinstance(given, dict):
        raise Refusal("Parameters are an object: names and values.", path=("parameters",))
    return given


@strawberry.type
class Mutation(repeating.Mutation, handling.Mutation, testing.Mutation):
    """Start, pause, signal and cancel; retry and fork."""

    @mutation()
    def execute_workflow(
        self,
        info: Info,
        workflow_id: strawberry.ID,
        parameters: JSON | None = None,
        environment: EnvironmentKind | None = EnvironmentKind.DEVELOPMENT,
        version: str | None = None,
        idempotency_key: strawberry.ID | None = None,
    ) -> ExecutionPayload | None:
        """Start a run; development runs the draft, elsewhere the deployed version runs."""
        actor = info.context.actor
        run = actions.start_run(
            actor=actor,
            workflow_id=key_of(workflow_id, "Workflow", path=("workflowId",)),
            parameters=_mapping(parameters),
            environment=environment or EnvironmentKind.DEVELOPMENT,
            version=version,
            trigger=TriggerKind.MANUAL if actor.api_key_id is None else TriggerKind.API,
            idempotency_key=idempotency_key,
        )
        return ExecutionPayload(execution=Execution.of(run))

    @mutation()
    def cancel_execution(self, info: Info, execution_id: strawberry.ID) -> ExecutionPayload | None:
        """Ask a run to stop; what has run stays in its history."""
        key = key_of(execution_id, "Execution", path=("executionId",))
        run = actions.cancel_run(actor=info.context.actor, run_id=key)
        return ExecutionPayload(execution=Execution.of(run))

    @mutation()
    def pause_execution(self, info: Info, execution_id: strawberry.ID) -> ExecutionPayload | None:
        """Ask that nothing more starts; running steps end, time and signals go on."""
        key = key_of(execution_id, "Execution", path=("executionId",))
        run = actions.pause_run(actor=info.context.actor, run_id=key)
        return ExecutionPayload(execution=Execution.of(run))

    @mutation()
    def resume_execution(self, info: Info, execution_id: strawberry.ID) -> ExecutionPayload | None:
        """Let a paused run go on."""
        key = key_of(execution_id, "Execution", path=("executionId",))
        run = actions.resume_run(actor=info.context.actor, run_id=key)
        return ExecutionPayload(execution=Execution.of(run))

    @mutation()
    def signal_execution(
        self,
        info: Info,
        execution_id: strawberry.ID,
        name: str,
        payload: JSON | None = None,
        dedup_key: str | None = None,
        correlation_key: str | None = None,
    ) -> ExecutionPayload | None:
        """Send a signal; it is kept until a step waits for its name, and counts once by its key."""
        given: Any = payload
        run = actions.signal_run(
            actor=info.context.actor,
            run_id=key_of(execution_id, "Execution", path=("executionId",)),
            name=name,
            payload=given,
            dedup_key=dedup_key,
            correlation_key=correlation_key,
        )
        return ExecutionPayload(execution=Execution.of(run))

    @mutation()
    def resolve_in_doubt(
        self,
        info: Info,
        node_run_id: strawberry.ID,
        outcome: StepStatus,
        comment: str,
        output: JSON | None = None,
    ) -> ExecutionPayload | None:
        """Decide a step that waits for it: SUCCEEDED (with output), FAILED, READY or SKIPPED."""
        run_id, path = node_run_key(node_run_id)
        given: Any = output
        if given is not None and not isinstance(given, dict):
            raise Refusal("An output is an object: values by port.", path=("output",))
        run = actions.resolve_step(
            actor=info.context.actor,
            run_id=run_id,
            path=path,
            outcome=outcome,
            output=given,
            comment=comment,
        )
        return ExecutionPayload(execution=Execution.of(run))
