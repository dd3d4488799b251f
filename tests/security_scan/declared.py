"""Declared node types for scanner tests: they reach out, run code, run SQL, or do none of it."""

from __future__ import annotations

import sys
from typing import Any

from apps.workflows.graph.catalogue import Catalogue
from apps.workflows.graph.declaration import (
    Effect,
    Example,
    Inputs,
    NodeContext,
    NodeParameters,
    Outputs,
    Port,
    declared_in,
    field,
    node,
)


class HttpParameters(NodeParameters):
    url: str = field(title="Address")
    headers: dict[str, str] = field({}, title="Headers")
    body: Any = field(None, title="Body")


class FixedParameters(NodeParameters):
    prompt: str = field("", title="Prompt")
    key: str = field("", title="Key")


class CodeParameters(NodeParameters):
    code: str = field(title="Code")


class SqlParameters(NodeParameters):
    statement: str = field(title="Statement")


class TextParameters(NodeParameters):
    text: str = field("", title="Text")


@node(
    "integration.http",
    version=1,
    title="HTTP request",
    effect=Effect.UNSAFE,
    inputs={"body": Port.ANY},
    outputs={"response": Port.JSON},
    egress_parameters=("url",),
    secrets=("headers",),
    example=Example(),
)
def http(parameters: HttpParameters, inputs: Inputs, context: NodeContext) -> Outputs:
    raise NotImplementedError


@node(
    "llm.complete",
    version=1,
    title="Completion",
    effect=Effect.UNSAFE,
    outputs={"text": Port.TEXT},
    egress=("api.model.example",),
    secrets=("key",),
    example=Example(),
)
def complete(parameters: FixedParameters, inputs: Inputs, context: NodeContext) -> Outputs:
    raise NotImplementedError


@node(
    "code.python",
    version=1,
    title="Python",
    effect=Effect.PURE,
    inputs={"value": Port.ANY},
    outputs={"value": Port.ANY},
    code={"code": "python"},
    example=Example(),
)
def python(parameters: CodeParameters, inputs: Inputs, context: NodeContext) -> Outputs:
    raise NotImplementedError


@node(
    "data.sql",
    version=1,
    title="SQL",
    effect=Effect.PURE,
    inputs={"table": Port.TABLE},
    outputs={"table": Port.TABLE},
    code={"statement": "sql"},
    example=Example(),
)
def sql(parameters: SqlParameters, inputs: Inputs, context: NodeContext) -> Outputs:
    raise NotImplementedError


@node(
    "transform.template",
    version=1,
    title="Template",
    effect=Effect.PURE,
    inputs={"value": Port.ANY},
    outputs={"text": Port.TEXT},
    example=Example(),
)
def template(parameters: TextParameters, inputs: Inputs, context: NodeContext) -> Outputs:
    raise NotImplementedError


def catalogue() -> Catalogue:
    """The types of this module alone."""

    return Catalogue(declared_in(sys.modules[__name__]))
