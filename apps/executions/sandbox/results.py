"""The text sent into the sandbox, and the one way out of it: a bounded string of JSON."""

from __future__ import annotations

import bisect
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pydantic_monty

from apps.executions.sandbox.limits import Limits, SandboxCode, SandboxError

# Serialised inside: a deep or huge object never becomes a Python object of the host.
DUMP_RESULT = "import json\njson.dumps(result)"

_MESSAGE_CHARACTERS = 300


@dataclass(frozen=True)
class Source:
    """A script and the first line of each expression in it."""

    text: str
    starts: tuple[int, ...]

    def index_of(self, line: int) -> int | None:
        """Which expression a line belongs to."""
        position = bisect.bisect_right(self.starts, line) - 1
        return position if position >= 0 else None


def expression_script(expressions: Sequence[str]) -> Source:
    """One script that evaluates all of them and ends in their JSON."""
    lines = ["import json", "_values = []"]
    line, starts = 3, []
    for expression in expressions:
        starts.append(line)
        # Dumped one by one, so that an expression without a JSON value is the one that is blamed.
        text = f"_values.append(json.dumps((\n{expression}\n)))"
        lines.append(text)
        line += text.count("\n") + 1
    lines.append("'[' + ','.join(_values) + ']'")
    return Source("\n".join(lines), tuple(starts))


def checked_inputs(values: Mapping[str, Any], *, limits: Limits) -> dict[str, Any]:
    """Plain values of bounded size; anything that is not JSON is refused."""
    budget = [limits.inputs]
    return {name: _copied(value, budget=budget, depth=0) for name, value in values.items()}


def _copied(value: Any, *, budget: list[int], depth: int) -> Any:
    if depth > 100:
        raise SandboxError(SandboxCode.EXPRESSION_TOO_LARGE, "The data is nested too deeply.")
    budget[0] -= len(value) + 8 if isinstance(value, str) else 8
    if budget[0] < 0:
        raise SandboxError(
            SandboxCode.EXPRESSION_TOO_LARGE,
            "The data an expression may read is too large; pass it to the node by a port instead.",
        )
    match value:
        case None | bool() | int() | float():
            return value
        case str():
            return str(value)
        case Mapping():
            return {
                str(_copied(key, budget=budget, depth=depth)): _copied(
                    item, budget=budget, depth=depth + 1
                )
                for key, item in value.items()
            }
        case Sequence():
            return [_copied(item, budget=budget, depth=depth + 1) for item in value]
    raise SandboxError(
        SandboxCode.EXPRESSION_RESULT,
        f"A value of type {type(value).__name__} is not JSON.",
    )


def decode(text: object, *, limits: Limits) -> Any:
    """The value in the string the sandbox gave back, within the limits of size and depth."""
    if not isinstance(text, str):
        raise SandboxError(SandboxCode.EXPRESSION_RESULT, "The code gave no JSON value.")
    if len(text) > limits.result:
        raise SandboxError(
            SandboxCode.EXPRESSION_TOO_LARGE,
            f"The result has {len(text)} characters; the limit is {limits.result}.",
        )
    try:
        value = json.loads(text, parse_constant=_no_constant, parse_float=_finite)
    except (ValueError, RecursionError):
        raise SandboxError(
            SandboxCode.EXPRESSION_RESULT,
            "The result is not JSON (NaN and infinity are not).",
        ) from None
    _check_depth(value, left=limits.depth)
    return value


def _no_constant(name: str) -> float:
    raise ValueError(name)


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(text)
    return value


def _check_depth(value: Any, *, left: int) -> None:
    if left < 0:
        raise SandboxError(SandboxCode.EXPRESSION_TOO_LARGE, "The result is nested too deeply.")
    match value:
        case dict():
            for item in value.values():
                _check_depth(item, left=left - 1)
        case list():
            for item in value:
                _check_depth(item, left=left - 1)
        case _:
            pass


def translate(error: pydantic_monty.MontyError, *, source: Source, limits: Limits) -> SandboxError:
    """The typed refusal for what the interpreter raised."""
    if isinstance(error, pydantic_monty.MontyCrashedError):
        if error.timed_out:
            return _timeout(limits)
        return SandboxError(
            SandboxCode.SANDBOX_CRASHED,
            "The sandbox process died while it ran this code; simplify the code.",
        )
    line = _line(error)
    index = source.index_of(line) if line is not None else None
    inner = error.exception()
    message = str(inner)[:_MESSAGE_CHARACTERS]
    match inner:
        case TimeoutError():
            return _timeout(limits, index=index)
        case MemoryError():
            return SandboxError(
                SandboxCode.EXPRESSION_MEMORY,
                f"The code used more than its {limits.memory >> 20} MiB of memory"
                " (or printed too much).",
                index=index,
                line=line,
            )
        case RecursionError():
            return SandboxError(
                SandboxCode.EXPRESSION_FAILED,
                "The code or its result is nested too deeply.",
                index=index,
                line=line,
            )
    if isinstance(inner, NameError) and "'result'" in message:
        message = "the code binds no `result`; end it with `result = …`"
    return SandboxError(
        SandboxCode.EXPRESSION_FAILED,
        f"{type(inner).__name__}: {message}",
        index=index,
        line=line,
    )


def _timeout(limits: Limits, *, index: int | None = None) -> SandboxError:
    return SandboxError(
        SandboxCode.EXPRESSION_TIMEOUT,
        f"The code ran longer than its {limits.seconds:g} s.",
        index=index,
    )


def _line(error: pydantic_monty.MontyError) -> int | None:
    if isinstance(error, pydantic_monty.MontyRuntimeError | pydantic_monty.MontySyntaxError):
        frames = error.traceback()
        if frames:
            return frames[0].line
    return None
