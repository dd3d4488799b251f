"""What goes into a handler and what may come out of it, checked against the ports it declared."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from apps.executions.engine.ports import StepCall, StepFailed
from apps.executions.runner import json_values, values
from apps.executions.runner.doors import ObjectStore
from apps.executions.runner.prepared import Prepared
from apps.executions.runner.secrets import SecretBook
from apps.kit.compact_json import compact_json
from apps.kit.errors import ErrorCode, Refusal
from apps.workflows.graph.context import NodeError
from apps.workflows.graph.ports import PortSpec

_MAX_MESSAGE = 2_000
_MAX_DETAILS = 8 * 1024


def checked_inputs(call: StepCall, ready: Prepared, *, objects: ObjectStore) -> dict[str, Any]:
    """The inputs with large values loaded; NodeError for what the ports do not take."""
    declared = ready.inputs
    inputs: dict[str, Any] = {}
    arrived = {**call.inputs, **call.inside.inputs} if call.inside else call.inputs
    for name, value in arrived.items():
        port = declared.get(name)
        if port is None:
            raise NodeError("INPUT_INVALID", f"{call.node_type.type} has no input port {name!r}.")
        inputs[name] = (
            [_input(item, port, name, objects) for item in value]
            if port.multiple and isinstance(value, list | tuple)
            else _input(value, port, name, objects)
        )
    for name in ready.needed:
        if name not in inputs:
            raise NodeError("INPUT_MISSING", f"The input port {name!r} needs a connection.")
    return inputs


def _input(value: Any, port: PortSpec, name: str, objects: ObjectStore) -> Any:
    problem = values.fits(value, port.type)
    if problem is not None:
        raise NodeError("INPUT_INVALID", f"The input {name!r} {problem}.")
    return value if port.by_reference else values.load(value, objects)


def checked_outputs(
    call: StepCall, ready: Prepared, given: Any, *, inner: bool = False
) -> dict[str, Any]:
    """The outputs as plain JSON; NodeError OUTPUT_INVALID names the port at fault.

    `inner` ports are those that face the body of a container.
    """
    if not isinstance(given, Mapping):
        raise NodeError("OUTPUT_INVALID", "A node answers with its outputs by port name.")
    declared = ready.outputs
    checked: dict[str, Any] = {}
    for name, value in given.items():
        port = declared.get(name)
        if port is None or port.inner is not inner:
            raise NodeError("OUTPUT_INVALID", f"{call.node_type.type} has no output port {name!r}.")
        plain = json_values.plain(value, where=f"the output {name!r}")
        problem = values.fits(plain, port.type)
        if problem is not None:
            raise NodeError("OUTPUT_INVALID", f"The output {name!r} {problem}.")
        checked[name] = plain
    return checked


def offloaded(
    outputs: dict[str, Any], *, objects: ObjectStore
) -> tuple[dict[str, Any], str | None]:
    """The outputs with the largest stored until the others fit one event together.

    And their JSON, where all fit as they are: whoever writes it down need not make it again.
    """
    text = compact_json(outputs)
    if len(text.encode("utf-8", "backslashreplace")) <= values.INLINE_BYTES:
        return outputs, text
    data = {
        name: json_values.require_bearable(value, where=f"The output {name!r}")
        for name, value in outputs.items()
    }
    size = sum(map(len, data.values()))
    if size <= values.INLINE_BYTES:
        return outputs, text
    kept = dict(outputs)
    for name in sorted(data, key=lambda name: len(data[name]), reverse=True):
        if size <= values.INLINE_BYTES:
            break
        kept[name] = values.offloaded(outputs[name], data[name], objects)
        size += json_values.size(kept[name]) - len(data[name])
    return kept, None


def failure(error: NodeError | Refusal, *, book: SecretBook) -> StepFailed:
    """The failure as it may be shown: bounded, and without a secret."""
    if isinstance(error, Refusal):
        busy = error.code is ErrorCode.RATE_LIMITED
        return StepFailed(code=str(error.code), message=book.hide(error.message), retryable=busy)
    return StepFailed(
        code=error.code,
        message=book.hide(error.message)[:_MAX_MESSAGE],
        retryable=error.retryable,
        retry_after_seconds=error.retry_after,
        details=_details(error, book=book),
    )


def _details(error: NodeError, *, book: SecretBook) -> dict[str, Any]:
    try:
        plain: dict[str, Any] = book.hide(json_values.plain(error.details, where="the details"))
    except NodeError:
        return {}
    return plain if json_values.size(plain) <= _MAX_DETAILS else {"truncated": True}
