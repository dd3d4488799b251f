"""The runner of one worker process: a step's call in, its outcome out, whatever happens."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial

from apps.executions.engine.ports import LogSink, StepCall, StepFailed, StepOutcome, StopSignal
from apps.executions.runner import platform
from apps.executions.runner.attempt import Attempt
from apps.executions.runner.doors import Doors
from apps.executions.runner.execution import Executor
from apps.executions.sandbox import Sandbox, shared
from apps.workflows.graph.declaration import Effect

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
        return self.ready(call, stop=stop, logs=logs)()

    def ready(
        self, call: StepCall, *, stop: StopSignal, logs: LogSink
    ) -> Callable[[], StepOutcome]:
        """Parameters with their values, inputs checked; what is returned never raises."""
        attempt = Attempt(
            call, stop=stop, sink=logs, sandbox=self._sandbox, executor=self._executor
        )
        try:
            attempt.prepare(self._doors)
        except Exception as error:
            return partial(self._broken, attempt, error)
        return partial(self._run, attempt)

    def _run(self, attempt: Attempt) -> StepOutcome:
        try:
            return attempt.run()
        except Exception as error:
            return self._broken(attempt, error)
        finally:
            attempt.clean()

    def _broken(self, attempt: Attempt, error: Exception) -> StepFailed:
        """The runner's own mistake: the step fails, the worker lives, the trace is ours alone."""
        call = attempt.call
        logger.error("The runner failed", exc_info=error, extra={"run": str(call.run_id)})
        return StepFailed(
            code="RUNNER_FAILED",
            message=f"The platform could not run this step ({type(error).__name__}).",
            retryable=call.node_type.effect is not Effect.UNSAFE,
            usage=attempt.usage(),
        )

    def close(self) -> None:
        """End child processes and loops."""
        self._executor.close()
        if self._owns_sandbox:
            self._sandbox.close()
