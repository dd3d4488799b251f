"""From the document's configuration to a step's parameters: expressions, secrets, types."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pydantic import ValidationError

from apps.executions.engine.ports import StepCall
from apps.executions.runner import values
from apps.executions.runner.doors import ObjectStore
from apps.executions.runner.secrets import SecretBook
from apps.executions.sandbox import Sandbox, SandboxError
from apps.workflows.graph import templates
from apps.workflows.graph.context import NodeError
from apps.workflows.graph.declaration import NodeParameters, NodeType
from apps.workflows.graph.expressions import Expression, ExpressionInvalid
from apps.workflows.graph.templates import SecretReference, Slot, Template

# One value an expression reads may be this large; more belongs through a port.
_MAX_READ_BYTES = 1 << 20
_MAX_ERRORS = 20


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What has to be done to a configuration before the node can have it."""

    slots: tuple[Slot, ...]
    secrets: frozenset[str]


def plan(node_type: NodeType, configuration: Mapping[str, Any]) -> Plan:
    """Find expressions and secrets; NodeError for what can never work."""
    try:
        found = tuple(templates.slots(configuration, verbatim=frozenset(node_type.code)))
    except ExpressionInvalid as error:
        raise NodeError(error.code, error.message) from None
    names = set()
    for slot in found:
        if isinstance(slot.content, SecretReference):
            if slot.path[0] not in node_type.secrets:
                raise NodeError(
                    "SECRET_NOT_DECLARED",
                    f"`{_dotted(slot.path)}` is no parameter for secrets of {node_type.type}.",
                    details={"path": list(slot.path)},
                )
            names.add(slot.content.name)
    return Plan(slots=found, secrets=frozenset(names))


def resolve(
    call: StepCall, planned: Plan, *, sandbox: Sandbox, book: SecretBook, objects: ObjectStore
) -> dict[str, Any]:
    """The configuration with every expression's value; one sandbox call for all of them.

    The inner parameters of a container have values only when an iteration has ended: theirs.
    """
    inner = call.node_type.inner
    configuration = call.node.configuration
    outside = tuple(slot for slot in planned.slots if slot.path[0] not in inner)
    by_path = _values(call, outside, sandbox=sandbox, book=book, objects=objects)
    if inner and call.inside is None:
        configuration = {name: value for name, value in configuration.items() if name not in inner}
    elif inner and call.inside is not None:
        within = tuple(slot for slot in planned.slots if slot.path[0] in inner)
        seen = replace(
            call,
            index=call.inside.index,
            item=call.inside.item,
            upstream=call.inside.upstream,
        )
        by_path |= _values(seen, within, sandbox=sandbox, book=book, objects=objects)
    filled: dict[str, Any] = templates.fill(configuration, by_path)
    return filled


def _values(
    call: StepCall,
    slots: Sequence[Slot],
    *,
    sandbox: Sandbox,
    book: SecretBook,
    objects: ObjectStore,
) -> dict[tuple[str | int, ...], Any]:
    if not slots:
        return {}
    flat = [
        (slot, expression)
        for slot in slots
        if isinstance(slot.content, Template)
        for expression in slot.content.expressions
    ]
    found = evaluate(
        [expression for _, expression in flat],
        scope=scope_of(call, [expression for _, expression in flat], objects=objects),
        sandbox=sandbox,
        paths=[_dotted(slot.path) for slot, _ in flat],
    )
    by_path: dict[tuple[str | int, ...], Any] = {}
    waiting = iter(found)
    for slot in slots:
        match slot.content:
            case Template() as template:
                by_path[slot.path] = template.render([next(waiting) for _ in template.expressions])
            case SecretReference(name=name):
                by_path[slot.path] = book.marker(name)
    return by_path


def read(
    node_type: NodeType, configuration: Mapping[str, Any], *, text: str | None = None
) -> NodeParameters:
    """The parameters, fresh; wrong types are refused with the path of each, values not repeated.

    `text` is the configuration as JSON, where it is known already.
    """
    try:
        if text is None:
            return node_type.parameters.read(configuration)
        return node_type.parameters.model_validate_json(text, strict=True)
    except ValidationError as error:
        problems = [
            {"path": _dotted(detail["loc"]), "message": detail["msg"]}
            for detail in error.errors(include_url=False, include_input=False)[:_MAX_ERRORS]
        ]
        first = problems[0]
        raise NodeError(
            "PARAMETER_INVALID",
            f"`{first['path']}`: {first['message']}.",
            details={"problems": problems, "path": first["path"]},
        ) from None


def evaluate(
    wanted: Sequence[Expression],
    *,
    scope: Mapping[str, Any],
    sandbox: Sandbox,
    paths: Sequence[str],
    python: Sequence[str] | None = None,
) -> tuple[Any, ...]:
    """Values of expressions; NodeError names the field whose expression failed."""
    try:
        return sandbox.evaluate(python or [expression.python for expression in wanted], scope=scope)
    except SandboxError as error:
        # An interrupted session cannot say where it was; then every field may be the one.
        at = 0 if error.index is None and len(wanted) == 1 else error.index
        blamed = range(len(wanted)) if at is None or at >= len(wanted) else (at,)
        fields = list(dict.fromkeys(paths[index] for index in blamed))[:_MAX_ERRORS]
        raise NodeError(
            str(error.code),
            f"{', '.join(f'`{field}`' for field in fields)}: {error.message}",
            retryable=error.retryable,
            details={"path": fields[0], "paths": fields},
        ) from None


def scope_of(
    call: StepCall, wanted: Sequence[Expression], *, objects: ObjectStore
) -> dict[str, Any]:
    """The values the expressions name, and no others: what is not read is not copied."""
    names = {reference[0] for expression in wanted for reference in expression.references}
    scope: dict[str, Any] = {}
    if "parameters" in names:
        scope["parameters"] = call.parameters
    if "variables" in names:
        scope["variables"] = call.variables
    if "index" in names:
        scope["index"] = call.index
    if "item" in names:
        scope["item"] = values.load(call.item, objects, limit=_MAX_READ_BYTES)
    if "environment" in names:
        scope["environment"] = call.environment
    if "run" in names:
        scope["run"] = {
            "id": str(call.run_id),
            "lineageId": str(call.lineage_id),
            "workflowId": str(call.workflow_id),
            "attempt": call.attempt,
            "startedAt": call.started_at.isoformat(),
        }
    if "nodes" in names:
        scope["nodes"] = _nodes(call, wanted, objects=objects)
    return scope


def _nodes(
    call: StepCall, wanted: Sequence[Expression], *, objects: ObjectStore
) -> dict[str, dict[str, Any]]:
    references = {
        reference[1:3]
        for expression in wanted
        for reference in expression.references
        if reference[0] == "nodes"
    }
    whole = () in references
    found: dict[str, dict[str, Any]] = {}
    for node_id, outputs in call.upstream.items():
        ports = {ref[1] for ref in references if len(ref) == 2 and ref[0] == node_id}
        every = whole or (node_id,) in references
        if every or ports:
            found[node_id] = {
                port: values.load(value, objects, limit=_MAX_READ_BYTES)
                for port, value in outputs.items()
                if every or port in ports
            }
    return found


def _dotted(path: Sequence[str | int]) -> str:
    return ".".join(str(part) for part in path)
