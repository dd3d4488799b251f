"""Node types of the marketplace's tests: plain text, code, and a call to a declared address."""

from __future__ import annotations

from typing import Any

from apps.workflows.graph.declaration import (
    Effect,
    Example,
    Inputs,
    NodeContext,
    NodeParameters,
    Outputs,
    Port,
    field,
    node,
)


class TextParameters(NodeParameters):
    text: str = field("", title="Text")


class CodeParameters(NodeParameters):
    code: str = field(title="Code")


class CallParameters(NodeParameters):
    url: str = field(title="Address")
    headers: dict[str, Any] = field({}, title="Headers")


@node(
    "test.text",
    version=1,
    title="Text",
    effect=Effect.PURE,
    outputs={"text": Port.TEXT},
    example=Example(),
)
def text(parameters: TextParameters, inputs: Inputs, context: NodeContext) -> Outputs:
    raise NotImplementedError


@node(
    "test.code",
    version=1,
    title="Code",
    effect=Effect.PURE,
    outputs={"value": Port.ANY},
    code={"code": "python"},
    example=Example(),
)
def code(parameters: CodeParameters, inputs: Inputs, context: NodeContext) -> Outputs:
    raise NotImplementedError


@node(
    "test.call",
    version=1,
    title="Call",
    effect=Effect.UNSAFE,
    outputs={"response": Port.JSON},
    egress_parameters=("url",),
    secrets=("headers",),
    example=Example(),
)
def call(parameters: CallParameters, inputs: Inputs, context: NodeContext) -> Outputs:
    raise NotImplementedError
