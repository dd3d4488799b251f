"""The runner of one worker process: a step's call in, its outcome out, whatever happens."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from apps.executions.engine.ports import (
    LogSink,
    StepCall,
    StepDone,
    StepFailed,
    StepOutcome,
    StepStopped,
    StopSignal,
    Usage,
)
from apps.executions.runner import conditions, configuration, failures, outputs, platform
from apps.executions.runner.context import Parts, StepContext
from apps.executions.runner.directory import WorkDirectory
from apps.executions.runner.doors import Doors
from apps.executions.runner.execution import Execution, Executor, StoppedError, Work
from apps.executions.runner.files import StepArtifacts
from apps.executions.runner.http import GuardedHttp, declared_hosts
from apps.executions.runner.redaction import Redactor
from apps.executions.runner.secrets import SecretBook
from apps.executions.sandbox import Sandbox, shared
from apps.kit.errors import Refusal
from apps.workflows.graph.context import NodeError
from apps.workflows.graph.declaration import Effect
from apps.workflows.graph.ports import ERROR_PORT

logger = logging.getLogger(__name__)

OpenDoors = Callable[[StepCall], Doors]


class LocalRunner:
    """StepRunner with everything in or below this process; thread safe."""

    def __init__(
        self, *, doors: OpenDoors = platform.doors, sandbox: Sandbox | None = None
    ) -> None:
        self._doors = doors
        self._sandbox = sandbox or shared()
        self._owns_sandbox = sandbox is None
        self._executor = Executor()

    @property
    def must_recycle(self) -> bool:
        """A step overran its time in a thread that cannot be ended: end the process soon."""
        return self._executor.overrun

    def run(self, call: StepCall, *, stop: StopSignal, logs: LogSink) -> StepOutcome:
        """Blocks until the attempt has an outcome or obeyed a stop; never raises."""
        attempt = _Attempt(
            call, stop=stop, logs=logs, sandbox=self._sandbox, executor=self._executor
        )
        try:
            return attempt.run(self._doors)
        except Exception as error:
            # The runner's own mistake: the step fails, the worker lives, the trace is ours alone.
            logger.exception("The runner failed", extra={"run": str(call.run_id)})
            return StepFailed(
                code="RUNNER_FAILED",
                message=f"The platform could not run this step ({type(error).__name__}).",
                retryable=call.node_type.effect is not Effect.UNSAFE,
                usage=attempt.usage(),
            )
        finally:
            attempt.clean()

    def close(self) -> None:
        """End child processes and loops."""
        self._executor.close()
        if self._owns_sandbox:
            self._sandbox.close()


class _Attempt:
    """One call from configuration to outcome."""

    def __init__(
        self,
        call: StepCall,
        *,
        stop: StopSignal,
        logs: LogSink,
        sandbox: Sandbox,
        executor: Executor,
    ) -> None:
        self._call = call
        self._stop = stop
        self._logs = logs
        self._sandbox = sandbox
        self._executor = executor
        self._began = time.monotonic()
        # A duration: both instants are the database's, and this machine's clock may differ.
        self._deadline = self._began + (call.deadline_at - call.started_at).total_seconds()
        self._directory = WorkDirectory(executor.directories)
        self._context: StepContext | None = None
        self._execution = Execution()

    def run(self, open_doors: OpenDoors) -> StepOutcome:
        call = self._call
        reason = self._stop.stopped()
        if reason is not None:
            return StepStopped(reason=reason)
        doors = open_doors(call)
        redactor = Redactor()
        book = SecretBook(doors.secrets, allowed=frozenset(), redactor=redactor)
        try:
            if self._deadline <= self._began:
                raise NodeError("STEP_TIMEOUT", "No time was left to run the step.", retryable=True)
            planned = configuration.plan(call.node_type, call.node.configuration)
            book = SecretBook(doors.secrets, allowed=planned.secrets, redactor=redactor)
            given = self._execute(planned, doors=doors, book=book)
            return self._done(given, doors=doors, book=book)
        except StoppedError as stopped:
            return StepStopped(reason=stopped.reason, usage=self.usage())
        except (NodeError, Refusal) as error:
            return self._failed(error, doors=doors, book=book)

    def _execute(self, planned: configuration.Plan, *, doors: Doors, book: SecretBook) -> Any:
        call = self._call
        parameters = configuration.resolve(
            call, planned, sandbox=self._sandbox, book=book, objects=doors.objects
        )
        configuration.validate(call.node_type, parameters)
        inputs = outputs.checked_inputs(call, objects=doors.objects)
        context = self._context = self._new_context(parameters, doors=doors, book=book)
        return self._executor.run(
            Work(
                call=call,
                parameters=parameters,
                inputs=inputs,
                context=context,
                stop=self._stop,
                deadline=self._deadline,
                execution=self._execution,
            )
        )

    def _new_context(
        self, parameters: Mapping[str, Any], *, doors: Doors, book: SecretBook
    ) -> StepContext:
        return StepContext(
            Parts(
                call=self._call,
                sink=self._logs,
                book=book,
                http=GuardedHttp(
                    egress=doors.egress,
                    hosts=declared_hosts(self._call.node_type, parameters),
                    book=book,
                    seconds_left=self._seconds_left,
                    may_repeat=self._call.node_type.effect is not Effect.UNSAFE,
                ),
                artifacts=StepArtifacts(doors.objects, directory=self._directory),
                sandbox=self._sandbox,
                directory=self._directory,
                stopped=lambda: self._stop.stopped() is not None,
                seconds_left=self._seconds_left,
            )
        )

    def _done(self, given: Any, *, doors: Doors, book: SecretBook) -> StepOutcome:
        call = self._call
        whole = book.hide(outputs.checked_outputs(call, given))
        kept = outputs.offloaded(whole, objects=doors.objects)
        held = conditions.outcomes(call, whole, sandbox=self._sandbox, objects=doors.objects)
        writes = self._context.writes.values() if self._context else ()
        return StepDone(outputs=kept, conditions=held, usage=self.usage(), writes=tuple(writes))

    def _failed(self, error: NodeError | Refusal, *, doors: Doors, book: SecretBook) -> StepFailed:
        call = self._call
        failed = outputs.failure(error, book=book)
        facts = {
            "code": failed.code,
            "message": failed.message,
            "nodeId": call.node.id,
            "attempt": call.attempt,
        }
        held: dict[str, bool] = {}
        try:
            held = conditions.outcomes(
                call, {ERROR_PORT: facts}, sandbox=self._sandbox, objects=doors.objects
            )
        except NodeError as second:
            # The step's own failure is what counts; a route whose condition fails is not taken.
            logger.warning("An error route's condition failed: %s", second.code)
        # An UNSAFE node that ended in the middle may have done what it does.
        doubtful = call.node_type.effect is Effect.UNSAFE and failed.code in failures.IN_THE_MIDDLE
        return replace(
            failed,
            conditions=held,
            retryable=failed.retryable and not doubtful,
            usage=self.usage(),
        )

    def usage(self) -> Usage:
        """What the attempt has cost so far."""
        context = self._context
        moved = (context.http, context.artifacts) if context else ()
        return Usage(
            cpu_seconds=self._execution.cpu_seconds,
            peak_memory_bytes=self._execution.peak_memory_bytes,
            wall_ms=int((time.monotonic() - self._began) * 1000),
            bytes_in=sum(part.bytes_in for part in moved),
            bytes_out=sum(part.bytes_out for part in moved),
            cost_minor=context.cost_minor if context else 0,
        )

    def clean(self) -> None:
        """Remove what the attempt left on disk."""
        self._directory.remove()

    def _seconds_left(self) -> float:
        return self._deadline - time.monotonic()
