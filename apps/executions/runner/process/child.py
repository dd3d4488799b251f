"""What runs in a step's own process: the node's function and nothing else."""

from __future__ import annotations

import asyncio
import importlib
import inspect
import os
from collections.abc import Mapping
from typing import Any, Final, get_type_hints

from apps.executions.runner import failures, json_values
from apps.executions.runner.process import lockdown
from apps.executions.runner.process.channel import Channel
from apps.executions.runner.process.remote import remote_context
from apps.workflows.graph.context import NodeError
from apps.workflows.graph.declaration import NodeParameters

_CHANNEL: Final = 3
"""The one descriptor of a confined step, after the three that lead nowhere."""


def serve(channel: Channel) -> None:
    """Take one call, answer with its outcome."""
    call = channel.receive()
    if call is None:
        return
    try:
        channel.send({"op": "done", "outputs": _execute(call, channel)})
    except NodeError as error:
        channel.send(
            {
                "op": "failed",
                "code": error.code,
                "message": error.message,
                "retryable": error.retryable,
                "retryAfter": error.retry_after,
                "details": dict(error.details),
            }
        )
    except MemoryError:
        channel.send({"op": "memory"})
    except Exception as error:
        channel.send(
            {
                "op": "crashed",
                "kind": type(error).__name__,
                "message": str(error)[:2000],
                "trace": failures.trace_of(error),
            }
        )


def serve_confined(channel: Channel, directory: str, *, memory: int) -> None:
    """The same behind walls that nobody can take down again; without them nothing runs."""
    try:
        channel.move(_CHANNEL)
        os.closerange(_CHANNEL + 1, os.sysconf("SC_OPEN_MAX"))
        os.environ["TMPDIR"] = directory
        lockdown.lock_down(directory, memory=memory)
    except OSError as error:
        message = f"This machine cannot confine the step: {error}."
        channel.send({"op": "failed", "code": "SANDBOX_UNAVAILABLE", "message": message})
        return
    serve(channel)


def _execute(call: Mapping[str, Any], channel: Channel) -> Mapping[str, Any]:
    os.chdir(call["workDirectory"])
    module, _, name = call["handler"].partition(":")
    handler = getattr(importlib.import_module(module), name)
    model: type[NodeParameters] = get_type_hints(handler)[
        next(iter(inspect.signature(handler).parameters))
    ]
    parameters = model.read(call["parameters"])
    given = handler(parameters, call["inputs"], remote_context(channel, call))
    if inspect.iscoroutine(given):
        given = asyncio.run(given)
    if not isinstance(given, Mapping):
        raise NodeError("OUTPUT_INVALID", "A node answers with its outputs by port name.")
    outputs = {
        str(name): json_values.plain(value, where=f"the output {name!r}")
        for name, value in given.items()
    }
    json_values.require_bearable(outputs, where="What the node answers with")
    return outputs
