"""A kept pool of interpreter processes, and one fresh, bounded session per evaluation."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pydantic_monty
from pydantic_monty import _binary as monty_binary

from apps.executions.sandbox import results
from apps.executions.sandbox.limits import (
    EXPRESSION_LIMITS,
    SCRIPT_LIMITS,
    Limits,
    SandboxCode,
    SandboxError,
)
from apps.executions.sandbox.tier import (
    Launcher,
    Tier,
    TierReport,
    detect,
    launcher,
    require,
)

HostFunction = Callable[..., Any]

_CHECKOUT_SECONDS = 10.0
_REQUEST_SECONDS = 30.0
_SESSIONS_PER_PROCESS = 500


@dataclass(frozen=True, kw_only=True)
class ScriptResult:
    """What a script left in `result`, and what it printed."""

    value: Any
    printed: str = ""


@dataclass
class _Started:
    """A running pool with what it needs alive."""

    monty: pydantic_monty.Monty
    launcher: Launcher
    pid: int = field(default_factory=os.getpid)


class Sandbox:
    """Thread safe; starts its processes on first use and again in a forked child."""

    def __init__(self, *, processes: int = 2, tier: Tier | None = None) -> None:
        self._processes = max(1, processes)
        self._wanted = tier
        self._lock = threading.Lock()
        self._started: _Started | None = None

    @property
    def report(self) -> TierReport:
        """The tier evaluations run in."""
        if self._wanted is Tier.PROCESS:
            return TierReport(Tier.PROCESS, "asked for by configuration")
        return detect() if self._wanted is None else require(self._wanted)

    def evaluate(
        self,
        expressions: Sequence[str],
        *,
        scope: Mapping[str, Any],
        limits: Limits = EXPRESSION_LIMITS,
    ) -> tuple[Any, ...]:
        """The JSON values of several Python expressions over `scope`, in one session.

        Each must already be a single parsed expression in subscript form (`graph.expressions`).
        Raises SandboxError with the index of the expression that failed.
        """
        if not expressions:
            return ()
        source = results.expression_script(expressions)
        _check_source(source, limits=limits)
        inputs = results.checked_inputs(scope, limits=limits)
        with self._session(limits) as session:
            try:
                text = session.feed_run(source.text, inputs=inputs, print_callback=_ignore)
            except pydantic_monty.MontyError as error:
                raise results.translate(error, source=source, limits=limits) from None
        values = results.decode(text, limits=limits)
        if not isinstance(values, list) or len(values) != len(expressions):
            raise SandboxError(SandboxCode.EXPRESSION_RESULT, "The expressions gave no result.")
        return tuple(values)

    def run_script(
        self,
        source: str,
        *,
        inputs: Mapping[str, Any],
        functions: Mapping[str, HostFunction] | None = None,
        limits: Limits = SCRIPT_LIMITS,
    ) -> ScriptResult:
        """Run a small program; its answer is the JSON value it binds to `result`."""
        script = results.Source(text=source + "\nNone\n", starts=())
        _check_source(script, limits=limits)
        bound = results.checked_inputs(inputs, limits=limits)
        printed = pydantic_monty.CollectString(max(1, limits.printed))
        with self._session(limits) as session:
            try:
                session.feed_run(
                    script.text,
                    inputs=bound,
                    external_lookup=dict(functions or {}),
                    print_callback=printed,
                )
                text = session.feed_run(results.DUMP_RESULT, print_callback=_ignore)
            except pydantic_monty.MontyError as error:
                raise results.translate(error, source=script, limits=limits) from None
        return ScriptResult(value=results.decode(text, limits=limits), printed=printed.output)

    def close(self) -> None:
        """End the interpreter processes."""
        with self._lock:
            started, self._started = self._started, None
        if started is not None and started.pid == os.getpid():
            started.monty.__exit__(None, None, None)

    def _session(self, limits: Limits) -> _Session:
        pool = self._pool()
        return _Session(
            pool.checkout(
                limits={
                    "max_feed_duration_secs": limits.seconds,
                    "max_memory": limits.memory,
                    "max_recursion_depth": 200,
                    # Each undefined name costs one suspension too.
                    "max_suspensions": limits.calls + 10,
                    "max_total_sleep_secs": 0.0,
                },
                os_policy={"sleep": "zero", "datetime": "system"},
                script_name="expression.py",
            )
        )

    def _pool(self) -> pydantic_monty.Monty:
        with self._lock:
            started = self._started
            if started is None or started.pid != os.getpid():
                started = self._started = self._start()
            return started.monty

    def _start(self) -> _Started:
        held = launcher(self.report, binary=monty_binary.find_monty_binary())
        monty = pydantic_monty.Monty(
            binary_path=held.command,
            min_processes=1,
            max_processes=self._processes,
            checkout_timeout=_CHECKOUT_SECONDS,
            request_timeout=_REQUEST_SECONDS,
            max_checkouts_per_worker=_SESSIONS_PER_PROCESS,
        )
        try:
            monty.__enter__()
        except (OSError, RuntimeError, pydantic_monty.MontyError) as error:
            raise SandboxError(
                SandboxCode.SANDBOX_UNAVAILABLE,
                f"The sandbox could not start ({type(error).__name__}); see `make doctor`.",
                retryable=True,
            ) from error
        return _Started(monty, held)


class _Session:
    """One checkout whose refusals are typed."""

    def __init__(self, session: pydantic_monty.MontySession) -> None:
        self._session = session

    def __enter__(self) -> pydantic_monty.MontySession:
        try:
            return self._session.__enter__()
        except TimeoutError:
            raise SandboxError(
                SandboxCode.SANDBOX_BUSY,
                "No sandbox process became free in time; the step will be tried again.",
                retryable=True,
            ) from None
        except pydantic_monty.MontyError as error:
            raise SandboxError(
                SandboxCode.SANDBOX_CRASHED,
                f"A sandbox process could not be started ({type(error).__name__}).",
                retryable=True,
            ) from None

    def __exit__(self, *details: object) -> None:
        self._session.__exit__(*details)


def _ignore(stream: str, text: str) -> None:
    """Expressions have nowhere to print to."""


def _check_source(source: results.Source, *, limits: Limits) -> None:
    if len(source.text) > limits.source:
        raise SandboxError(
            SandboxCode.EXPRESSION_TOO_LARGE,
            f"The code has {len(source.text)} characters; the limit is {limits.source}.",
        )


_shared: list[Sandbox] = []
_shared_lock = threading.Lock()


def shared() -> Sandbox:
    """The sandbox of this process, one for all steps."""
    with _shared_lock:
        if not _shared:
            _shared.append(Sandbox(processes=max(2, os.cpu_count() or 1)))
        return _shared[0]
