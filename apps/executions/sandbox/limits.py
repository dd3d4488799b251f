"""What sandboxed code may use, and how the sandbox says no."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum


class SandboxCode(StrEnum):
    """Stable codes of everything that can go wrong with sandboxed code."""

    EXPRESSION_FAILED = "EXPRESSION_FAILED"
    EXPRESSION_TIMEOUT = "EXPRESSION_TIMEOUT"
    EXPRESSION_MEMORY = "EXPRESSION_MEMORY"
    EXPRESSION_RESULT = "EXPRESSION_RESULT"
    EXPRESSION_TOO_LARGE = "EXPRESSION_TOO_LARGE"
    SANDBOX_BUSY = "SANDBOX_BUSY"
    SANDBOX_CRASHED = "SANDBOX_CRASHED"
    SANDBOX_UNAVAILABLE = "SANDBOX_UNAVAILABLE"


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Bounds of one evaluation; seconds and bytes.

    `source` and `inputs` bound what goes in, `result` and `depth` what may come out.
    `calls` bounds host functions, `printed` the text the code prints.
    """

    seconds: float
    memory: int
    source: int
    inputs: int
    result: int
    depth: int
    calls: int = 0
    printed: int = 0

    def within(self, *, seconds: float) -> Limits:
        """The same with less time."""
        return replace(self, seconds=min(self.seconds, seconds))


EXPRESSION_LIMITS = Limits(
    # Wall time: a process that waits for its turn on a busy machine must not look like a loop.
    seconds=0.5,
    memory=32 << 20,
    source=64 << 10,
    inputs=2 << 20,
    result=256 << 10,
    depth=32,
)
SCRIPT_LIMITS = Limits(
    seconds=5.0,
    memory=128 << 20,
    source=256 << 10,
    inputs=8 << 20,
    result=4 << 20,
    depth=64,
    calls=1_000,
    printed=256 << 10,
)


class SandboxError(Exception):
    """Sandboxed code was stopped or refused; `index` names the expression when one is to blame."""

    def __init__(
        self,
        code: SandboxCode,
        message: str,
        *,
        index: int | None = None,
        line: int | None = None,
        retryable: bool = False,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.index = index
        self.line = line
        self.retryable = retryable
