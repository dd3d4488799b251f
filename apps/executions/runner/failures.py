"""The failures every node may have, whatever it does, each with a code and a way to mend it."""

from __future__ import annotations

import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from apps.workflows.graph.context import NodeError

_TRACE_FRAMES = 8
_MAX_MESSAGE = 1_000


def timed_out() -> NodeError:
    """The step's time is over."""
    return NodeError(
        "STEP_TIMEOUT",
        "The step did not finish in its time; raise timeoutSeconds or give it less to do.",
        retryable=True,
    )


def out_of_memory(limit: str) -> NodeError:
    """The step's process was ended for what it held."""
    return NodeError(
        "MEMORY_EXCEEDED",
        f"The step needed more than its {limit} of memory; raise resources.memory or give it"
        " less data.",
    )


def out_of_cpu(seconds: int) -> NodeError:
    """The step's process was ended for what it computed."""
    return NodeError(
        "CPU_EXCEEDED",
        f"The step used up its {seconds} s of CPU; raise resources.cpu or timeoutSeconds, or give"
        " it less to do.",
    )


def beyond(limit: str) -> NodeError:
    """The step's process was ended for a bound of the sandbox."""
    return NodeError(
        "LIMIT_EXCEEDED",
        f"The step went beyond {limit}, which the sandbox allows; give it less to do.",
    )


def died(exit_code: int | None) -> NodeError:
    """The step's process went away by itself."""
    return NodeError(
        "PROCESS_DIED",
        f"The step's process ended without an answer (exit code {exit_code}).",
        retryable=True,
    )


def reported(message: Mapping[str, Any]) -> NodeError:
    """The node's own refusal, as its process reported it: whatever it is, it is a refusal."""
    after, details = message.get("retryAfter"), message.get("details")
    return NodeError(
        str(message.get("code"))[:64],
        str(message.get("message")),
        retryable=bool(message.get("retryable")),
        retry_after=float(after) if isinstance(after, int | float) and after > 0 else None,
        details=details if isinstance(details, dict) else None,
    )


def crashed(error: BaseException) -> NodeError:
    """What a node raised without saying what it means."""
    return _crash(type(error).__name__, str(error), trace_of(error))


def crash_reported(message: Mapping[str, Any]) -> NodeError:
    """The same, from a process."""
    told = message.get("trace")
    trace = [str(line) for line in told[:_TRACE_FRAMES]] if isinstance(told, list) else []
    return _crash(str(message.get("kind")), str(message.get("message")), trace)


def trace_of(error: BaseException) -> list[str]:
    """The innermost frames: file, line and function, without values."""
    frames = traceback.extract_tb(error.__traceback__)[-_TRACE_FRAMES:]
    return [f"{Path(frame.filename).name}:{frame.lineno} {frame.name}" for frame in frames]


def _crash(kind: str, message: str, trace: list[str]) -> NodeError:
    return NodeError(
        "NODE_CRASHED",
        f"The node failed in a way it does not explain ({kind}); the details hold its trace.",
        retryable=True,
        details={"kind": kind, "message": message[:_MAX_MESSAGE], "trace": trace},
    )
