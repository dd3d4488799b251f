"""Where a handler runs: in this thread, one beside it, the loop, or its own process."""

from __future__ import annotations

import importlib
import inspect
import math
import resource
import sys
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, wait
from dataclasses import dataclass
from functools import partial
from typing import Any, assert_never

from apps.executions.engine.asking import EFFECT_IN_DOUBT, FOUND_BY
from apps.executions.engine.ports import StepCall, StopReason, StopSignal
from apps.executions.runner import failures
from apps.executions.runner.async_steps import AsyncSteps, Meter
from apps.executions.runner.context import StepContext
from apps.executions.runner.directory import StepDirectories
from apps.executions.runner.host import Host
from apps.executions.runner.process import battery
from apps.executions.runner.process.endings import Ended, Ending, Job, ProcessUnavailableError
from apps.executions.runner.process.pool import ProcessPool
from apps.executions.runner.quantities import byte_count, cores
from apps.executions.runner.threads import StepThreads
from apps.workflows.graph import catalogue
from apps.workflows.graph.context import NodeError
from apps.workflows.graph.declaration import Isolation, NodeParameters, NodeType

_POLL_SECONDS = 0.05
# Our own nodes finish by themselves: their requests and scripts end at the deadline.
_TRUSTED = "apps.nodes."
_imported: set[str] = set()


class StoppedError(Exception):
    """The attempt obeyed a stop."""

    def __init__(self, reason: StopReason) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass
class Execution:
    """What the handler used; filled while it runs."""

    cpu_seconds: float = 0.0
    peak_memory_bytes: int = 0


@dataclass(kw_only=True, slots=True)
class Work:
    """One call of a handler; `deadline` is on the monotonic clock.

    `parameters` is the configuration with its values in place, `model` what its type made of it.
    """

    call: StepCall
    parameters: Mapping[str, Any]
    model: NodeParameters
    inputs: Mapping[str, Any]
    context: StepContext
    stop: StopSignal
    deadline: float
    execution: Execution


class Executor:
    """Runs handlers of every kind with the same promise: outputs, NodeError or StoppedError."""

    def __init__(self) -> None:
        self.directories = StepDirectories()
        self._processes = ProcessPool(self.directories)
        self._threads = StepThreads()
        self._lock = threading.Lock()
        self._loop: AsyncSteps | None = None
        self.overrun = False

    def run(self, work: Work) -> Any:
        """What the handler gave."""
        node_type = work.call.node_type
        missing = catalogue.missing_extra(node_type)
        if missing is not None:
            raise NodeError(
                "EXTRA_MISSING",
                f"{node_type.type} needs the extra {missing!r}, which this worker lacks:"
                f" install nstarx-workflows[{missing}].",
            )
        match node_type.isolation:
            case Isolation.PROCESS:
                return self._in_process(work)
            case Isolation.SANDBOX:
                _require_sandbox()
                return self._in_process(work)
            case Isolation.INLINE if node_type.asynchronous:
                return self._on_loop(work)
            case Isolation.INLINE if node_type.handler.startswith(_TRUSTED):
                return _here(work)
            case Isolation.INLINE:
                return self._in_thread(work)
            case other:
                assert_never(other)

    def close(self) -> None:
        """End processes and the loop."""
        self._processes.close()
        self._threads.close()
        self.directories.remove()
        with self._lock:
            loop, self._loop = self._loop, None
        if loop is not None:
            loop.end()

    def _in_process(self, work: Work) -> Any:
        node_type, context = work.call.node_type, work.context
        wanted = work.call.node.resources.memory or node_type.resources.memory
        job = Job(
            libraries=catalogue.extra_modules(node_type.extra),
            call={
                "handler": node_type.handler,
                "parameters": work.parameters,
                "inputs": work.inputs,
                "workDirectory": str(context.work_directory),
                "deadline": context.deadline.isoformat(),
                "environment": context.environment,
                "idempotencyKey": context.idempotency_key,
            },
            memory=byte_count(wanted),
            cpu=_cpu_seconds(work),
            deadline=work.deadline,
            confined=node_type.isolation is Isolation.SANDBOX,
        )
        try:
            ended = self._processes.run(job, serve=Host(context).serve, stopped=work.stop.stopped)
        except ProcessUnavailableError as error:
            raise NodeError("WORKER_BUSY", str(error), retryable=True) from None
        work.execution.cpu_seconds = ended.cpu_seconds
        work.execution.peak_memory_bytes = ended.peak_memory_bytes
        return _outputs_of(ended, job=job, memory=wanted)

    def _on_loop(self, work: Work) -> Any:
        coroutine = _handler(work.call.node_type)(work.model, work.inputs, work.context)
        meter, most = Meter(), _peak()
        future = self._running_loop().start(coroutine, meter)
        try:
            return _awaited(future, work)
        finally:
            future.cancel()
            work.execution.cpu_seconds += meter.seconds
            # As of a step in a thread: it is one among others.
            work.execution.peak_memory_bytes = max(0, _peak() - most)

    def _in_thread(self, work: Work) -> Any:
        job = self._threads.start(partial(_here, work))
        ended = False
        try:
            while not (ended := job.wait(seconds=_patience(work))):
                _require_time(work)
        finally:
            # A thread cannot be ended: it runs on, unheard, until its process is recycled.
            self.overrun = self.overrun or not ended
        if job.error is not None:
            raise _typed(job.error)
        return job.result

    def _running_loop(self) -> AsyncSteps:
        with self._lock:
            if self._loop is None:
                self._loop = AsyncSteps()
            return self._loop


def _require_sandbox() -> None:
    """A machine that cannot hold a step does not get it: nothing weaker takes its place."""
    try:
        problem = battery.verdict()
    except battery.UndecidedError as error:
        raise NodeError("WORKER_BUSY", str(error), retryable=True) from None
    if problem is not None:
        raise NodeError(
            "SANDBOX_UNAVAILABLE",
            f"This worker cannot confine a step: {problem}. See `make doctor`.",
        )


def find(work: Work) -> Any:
    """What `find` of a RECONCILABLE type answers: the effect's outputs, None where there is none.

    It takes (key) or (key, parameters, context).
    """
    finder = _function(work.call.node_type, work.call.node_type.finder or "")
    asked = (work.call.idempotency_key, work.model, work.context)
    try:
        return finder(*asked[: len(inspect.signature(finder).parameters)])
    except NodeError as error:
        raise _unfound(error) from error
    except Exception as error:
        raise _unfound(failures.crashed(error)) from error


def _unfound(error: NodeError) -> NodeError:
    """An earlier try may have had its effect, and the other side could not be asked."""
    return NodeError(
        EFFECT_IN_DOUBT,
        "An earlier try may have had its effect, and asking for it failed:"
        f" {error.code}: {error.message}",
        retryable=error.retryable,
        retry_after=error.retry_after,
        details={**error.details, FOUND_BY: error.code},
    )


def _handler(node_type: NodeType) -> Callable[..., Any]:
    return _function(node_type, node_type.handler)


def _function(node_type: NodeType, path: str) -> Callable[..., Any]:
    """A function of the type's module, imported on the first call."""
    module, _, name = path.partition(":")
    try:
        if module not in _imported:
            # Waits where another thread is in the middle of it.
            importlib.import_module(module)
            _imported.add(module)
        handler: Callable[..., Any] = getattr(sys.modules[module], name)
    except (ImportError, KeyError, AttributeError) as error:
        raise NodeError(
            "NODE_UNAVAILABLE", f"{node_type.type} cannot be loaded here ({error})."
        ) from None
    return handler


def _here(work: Work) -> Any:
    handler = _handler(work.call.node_type)
    began, most = time.thread_time(), _peak()
    try:
        return handler(work.model, work.inputs, work.context)
    except NodeError:
        raise
    except Exception as error:
        raise failures.crashed(error) from error
    finally:
        work.execution.cpu_seconds += time.thread_time() - began
        # Of a step among others only its process's growth is known.
        work.execution.peak_memory_bytes = max(0, _peak() - most)


def _peak() -> int:
    """The most memory this process has ever held; asked of one thread it costs the least."""
    return resource.getrusage(resource.RUSAGE_THREAD).ru_maxrss * 1024


def _awaited(future: Future[Any], work: Work) -> Any:
    while not future.done():
        _require_time(work)
        wait([future], timeout=_patience(work))
    error = future.exception()
    if error is None:
        return future.result()
    raise _typed(error)


def _patience(work: Work) -> float:
    """Until the next look at the stop signal or the clock."""
    return max(0.0, min(work.deadline - time.monotonic(), _POLL_SECONDS))


def _require_time(work: Work) -> None:
    reason = work.stop.stopped()
    if reason is not None:
        raise StoppedError(reason)
    if work.deadline <= time.monotonic():
        raise failures.timed_out()


def _typed(error: BaseException) -> NodeError:
    return error if isinstance(error, NodeError) else failures.crashed(error)


def _cpu_seconds(work: Work) -> int:
    """What `resources.cpu` allows in the time that is left: one core for a minute is a minute."""
    node, node_type = work.call.node, work.call.node_type
    allowed = cores(node.resources.cpu or node_type.resources.cpu)
    return max(1, math.ceil(allowed * (work.deadline - time.monotonic())))


def _outputs_of(ended: Ended, *, job: Job, memory: str) -> Any:
    message = ended.message
    match ended.ending:
        case Ending.DONE:
            return message.get("outputs")
        case Ending.STOPPED:
            raise StoppedError(ended.stopped or StopReason.CANCELED)
        case Ending.FAILED:
            raise failures.reported(message)
        case Ending.CRASHED:
            raise failures.crash_reported(message)
        case Ending.MEMORY:
            raise failures.out_of_memory(memory)
        case Ending.CPU:
            raise failures.out_of_cpu(job.cpu)
        case Ending.LIMIT:
            raise failures.beyond(ended.beyond)
        case Ending.TIMEOUT:
            raise failures.timed_out()
        case Ending.DIED:
            raise failures.died(ended.exit_code)
        case other:
            assert_never(other)
