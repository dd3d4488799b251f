"""Wait for people: they see the question on the approvals page and decide it with a form.

`required` people must agree; one no decides at once. Whoever may decide approvals may vote, unless
`approvers` (e-mail addresses) or `roles` name who of them: then only those. `form` is a JSON Schema
of an object with flat properties: each becomes a field of the form, and what voters fill in is held
against it. With `separate_duties` whoever started the run may not vote.

`approved` and `rejected` carry `{"values": {…}, "decisions": […]}`, each decision with `by`,
`approve`, `comment` and `at`. When `deadline_seconds` is over, `on_timeout` says what happens:
`branch` leaves by `timeout` (with nothing connected there the step fails), `fail` fails with
WAIT_TIMEOUT, `approve` and `reject` decide. A question that somebody withdraws fails the step with
APPROVAL_WITHDRAWN; a run that ends withdraws its questions.

Errors: APPROVAL_INVALID (more must agree than may), FORM_INVALID (no usable schema),
APPROVERS_UNKNOWN (too few of the approvers are members).
"""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

from pydantic import JsonValue

from apps.workflows.graph.declaration import (
    TIMEOUT_PORT,
    Effect,
    Example,
    Inputs,
    NodeContext,
    NodeError,
    NodeParameters,
    Port,
    PortSpec,
    Wait,
    WaitKind,
    field,
    node,
)
from apps.workflows.graph.parameters import schema_problem

_UNDECIDED: dict[str, JsonValue] = {"values": {}, "decisions": []}


class OnTimeout(StrEnum):
    """What the end of the time means."""

    BRANCH = "branch"
    FAIL = "fail"
    APPROVE = "approve"
    REJECT = "reject"


class Parameters(NodeParameters):
    """What is asked, whom, and for how long."""

    title: str = field(title="Question", min_length=1, max_length=200)
    instructions: str = field("", title="Instructions", max_length=5_000)
    approvers: list[str] = field([], title="Approvers (e-mail)", max_length=50)
    roles: list[Literal["owner", "admin", "editor", "operator"]] = field(
        [], title="Roles", max_length=4
    )
    required: int = field(1, title="How many must agree", ge=1, le=20)
    separate_duties: bool = field(default=False, title="Whoever started the run may not decide")
    form: dict[str, JsonValue] = field({}, title="Form", description="A JSON Schema.")
    deadline_seconds: float | None = field(
        None, title="Decide within (seconds)", ge=0, le=366 * 86_400
    )
    on_timeout: OnTimeout = field(OnTimeout.BRANCH, title="When nobody decided in time")


@node(
    "control.approval",
    version=1,
    title="Approval",
    effect=Effect.PURE,
    icon="user-check",
    inputs={"value": PortSpec(type=Port.ANY, required=False)},
    outputs={
        "approved": PortSpec(type=Port.JSON, required=False),
        "rejected": PortSpec(type=Port.JSON, required=False),
        TIMEOUT_PORT: PortSpec(type=Port.ANY, required=False),
    },
    example=Example(
        parameters={"title": "Pay the invoice?", "deadline_seconds": 60, "on_timeout": "reject"},
        outputs={"rejected": {"values": {}, "decisions": []}},
    ),
)
def approval(parameters: Parameters, inputs: Inputs, context: NodeContext) -> Wait:
    """Come back when they have decided."""
    if parameters.approvers and parameters.required > len(set(parameters.approvers)):
        message = f"{parameters.required} must agree, and {len(set(parameters.approvers))} may."
        raise NodeError("APPROVAL_INVALID", message)
    if parameters.form and (problem := schema_problem(parameters.form)):
        raise NodeError("FORM_INVALID", f"The form cannot be used: {problem}.")
    due = {
        OnTimeout.BRANCH: {TIMEOUT_PORT: inputs.get("value")},
        OnTimeout.FAIL: None,
        OnTimeout.APPROVE: {"approved": _UNDECIDED},
        OnTimeout.REJECT: {"rejected": _UNDECIDED},
    }[parameters.on_timeout]
    return Wait(
        kind=WaitKind.APPROVAL,
        name=parameters.title,
        seconds=parameters.deadline_seconds,
        due=due,
        payload={
            "instructions": parameters.instructions,
            "approvers": sorted({one.strip().lower() for one in parameters.approvers}),
            "roles": sorted(set(parameters.roles)),
            "required": parameters.required,
            "separateDuties": parameters.separate_duties,
            "form": parameters.form,
        },
    )
