"""Testing a node alone, and the sample data that tests take."""

from __future__ import annotations

import datetime as dt
from collections.abc import Hashable, Mapping
from typing import Any

import strawberry
from strawberry.scalars import JSON

from apps.executions import actions, models
from apps.executions.errors import ConsentMissing
from apps.executions.graphql import repeating
from apps.executions.graphql.types import Execution, ExecutionPayload, NodeRun
from apps.kit.errors import Refusal
from apps.kit.graphql.batch import batched
from apps.kit.graphql.errors import register_error
from apps.kit.graphql.extend import extend
from apps.kit.graphql.mutations import Payload, mutation
from apps.kit.graphql.nodes import global_id, key_of, load_node
from apps.tenancy.actors import Permission
from apps.tenancy.graphql.context import Info, may
from apps.workflows.actions import found as workflow_of
from apps.workflows.graphql.types import Workflow, WorkflowPayload
from apps.workflows.models import Workflow as WorkflowRow

register_error(
    ConsentMissing,
    lambda refusal, shown: repeating.RunRefusedError(**shown, reason=refusal.reason),
    repeating.RunRefusedError,
)


@strawberry.type
class PinnedOutput:
    """Outputs by port that test runs take instead of running the node."""

    node_id: str
    output: JSON
    pinned_at: dt.datetime


@strawberry.input
class NodeSample:
    """What `item` and `index` are for a node that is tested inside its container."""

    item: JSON | None = None
    index: int = 0


@strawberry.type
class NodeTestPayload(Payload):
    """The one step that runs, and its run: follow it for result, logs and usage."""

    node_run: NodeRun | None = None
    execution: Execution | None = None


@strawberry.type
class Mutation:
    """Test one node; pin what others shall give."""

    @mutation()
    def test_node(
        self,
        info: Info,
        workflow_id: strawberry.ID,
        node_id: str,
        input: JSON,
        use_pinned_data: bool | None = True,  # noqa: FBT001, FBT002 - GraphQL names its arguments
        confirm_effects: list[str] | None = None,
        sample: NodeSample | None = None,
    ) -> NodeTestPayload | None:
        """Run one node of the draft alone, in development; name it in confirmEffects if it acts.

        A node inside a container gets the `sample` as what is around it there.
        """
        run = actions.try_node(
            actor=info.context.actor,
            workflow_id=key_of(workflow_id, "Workflow", path=("workflowId",)),
            trial=actions.Trial(
                node_id=node_id,
                inputs=_object(input, "input"),
                item=None if sample is None else sample.item,
                index=0 if sample is None else sample.index,
                use_pinned=use_pinned_data is not False,
                consents=node_id in (confirm_effects or ()),
            ),
            idempotency_key=info.context.idempotency_header,
        )
        step = load_node(global_id("NodeRun", f"{run.pk}/{_path_of(run, node_id)}"))
        return NodeTestPayload(node_run=step, execution=Execution.of(run))

    @mutation()
    def test_workflow(
        self,
        info: Info,
        workflow_id: strawberry.ID,
        parameters: JSON | None = None,
        idempotency_key: strawberry.ID | None = None,
    ) -> ExecutionPayload | None:
        """Run the draft in development; pinned nodes give their sample data and do not run."""
        run = actions.try_draft(
            actor=info.context.actor,
            workflow_id=key_of(workflow_id, "Workflow", path=("workflowId",)),
            parameters=_object(parameters, "parameters"),
            idempotency_key=idempotency_key,
        )
        return ExecutionPayload(execution=Execution.of(run))

    @mutation()
    def pin_node_output(
        self,
        info: Info,
        workflow_id: strawberry.ID,
        node_id: str,
        output: JSON | None = None,
    ) -> WorkflowPayload | None:
        """Pin outputs to a node of the draft for test runs; null takes the pin off."""
        key = key_of(workflow_id, "Workflow", path=("workflowId",))
        outputs = None if output is None else _object(output, "output")
        actions.pin_output(
            actor=info.context.actor, workflow_id=key, node_id=node_id, outputs=outputs
        )
        return WorkflowPayload.of(workflow_of(key))


def _path_of(run: models.Run, node_id: str) -> str:
    """Where the node stands: inside a container, in one of its iterations."""
    said = models.RunEvent.objects.filter(run_id=run.pk, type="step.given", body__alone=True)
    return said.values_list("path", flat=True).first() or node_id


def pinned_outputs(root: strawberry.Parent[WorkflowRow]) -> list[PinnedOutput]:
    """Sample data of the draft's nodes, by node."""
    rows: list[models.Pin] = batched(root, "pins", _pins, root.pk) or []
    return [
        PinnedOutput(node_id=row.node_id, output=JSON(row.outputs), pinned_at=row.pinned_at)
        for row in rows
    ]


def _pins(workflows: tuple[WorkflowRow, ...]) -> Mapping[Hashable, list[models.Pin]]:
    found: dict[Hashable, list[models.Pin]] = {}
    if may(Permission.WORKFLOWS_READ):
        for row in models.Pin.objects.filter(workflow_id__in={one.pk for one in workflows}):
            found.setdefault(row.workflow_id, []).append(row)
    return found


def _object(value: Any, name: str) -> dict[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise Refusal("An object is expected: names and values.", path=(name,))
    return value


extend(
    Workflow,
    "pinned_outputs",
    pinned_outputs,
    description="Sample data that test runs take instead of running these nodes.",
)
