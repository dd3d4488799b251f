"""One attempt of one step: from its configuration to its outcome."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cached_property
from typing import Any

from apps.executions.engine.asking import DOUBTFUL
from apps.executions.engine.ports import (
    LogSink,
    StepCall,
    StepDone,
    StepFailed,
    StepOpens,
    StepOutcome,
    StepRepeats,
    StepStopped,
    StepWaits,
    StopReason,
    StopSignal,
    Usage,
)
from apps.executions.runner import cache, conditions, configuration, json_values, outputs
from apps.executions.runner.context import StepContext
from apps.executions.runner.directory import WorkDirectory
from apps.executions.runner.doors import Doors, ResultCache
from apps.executions.runner.execution import Execution, Executor, StoppedError, Work, find
from apps.executions.runner.files import StepArtifacts
from apps.executions.runner.http import GuardedHttp, declared_hosts
from apps.executions.runner.prepared import Prepared, prepared
from apps.executions.runner.redaction import Redactor
from apps.executions.runner.secrets import NO_SECRETS, SecretBook
from apps.executions.sandbox import Sandbox
from apps.kit.errors import Refusal
from apps.workflows.graph.context import NodeError
from apps.workflows.graph.declaration import Effect, Repeat
from apps.workflows.graph.mapping import MapOpening
from apps.workflows.graph.ports import ERROR_PORT
from apps.workflows.graph.waits import Wait

logger = logging.getLogger(__name__)

_MOVING = ("http", "artifacts")
"""Parts that count the bytes they move."""


class Attempt:
    """Makes only what the step touches: most need no secret, client, object or directory.

    What is made is a cached property, so its presence in `__dict__` says that it was needed.
    """

    _doors: Doors
    _work: Work

    def __init__(
        self,
        call: StepCall,
        *,
        stop: StopSignal,
        sink: LogSink,
        sandbox: Sandbox,
        executor: Executor,
    ) -> None:
        self.call = call
        self.sink = sink
        self.sandbox = sandbox
        self.book: SecretBook = NO_SECRETS
        self._stop = stop
        self._executor = executor
        self._began = time.monotonic()
        # A duration: both instants are the database's, and this machine's clock may differ.
        self._deadline = self._began + (call.deadline_at - call.started_at).total_seconds()
        self._parameters: Mapping[str, Any] = {}
        self._context: StepContext | None = None
        self._execution = Execution()
        self._entry: cache.Entry | None = None
        self._ended: StepOutcome | None = None
        """It came to its end before its body."""
        self._ready_at = self._began

    def prepare(self, open_doors: Callable[[StepCall], Doors]) -> None:
        """All that touches nothing; raises only what is the runner's own mistake."""
        self._doors = open_doors(self.call)
        try:
            if self._deadline <= self._began:
                raise NodeError("STEP_TIMEOUT", "No time was left to run the step.", retryable=True)
            if self.call.given is None:
                self._work = self._prepared(prepared(self.call))
        except (NodeError, Refusal) as error:
            self._ended = self._failed(error)
        self._ready_at = time.monotonic()

    def run(self) -> StepOutcome:
        """The outcome; raises only what is the runner's own mistake."""
        # What the body has waited for is not its time.
        waited = time.monotonic() - self._ready_at
        self._began += waited
        self._deadline += waited
        reason = self._stop.stopped()
        if reason is not None:
            return StepStopped(reason=reason)
        if self._ended is not None:
            return self._ended
        ready, given = prepared(self.call), self.call.given
        try:
            if given is not None:
                return self._given(ready, given)
            done = self._done(ready, self._execute(ready, self._work))
            return self._entry.settled(done) if self._entry and isinstance(done, StepDone) else done
        except StoppedError as stopped:
            return StepStopped(reason=stopped.reason, usage=self.usage())
        except (NodeError, Refusal) as error:
            return self._failed(error)

    def usage(self) -> Usage:
        """What the attempt has cost so far."""
        made = self.__dict__
        moved = [made[name] for name in _MOVING if name in made]
        return Usage(
            cpu_seconds=self._execution.cpu_seconds
            + (self._context.script_seconds if self._context else 0.0),
            peak_memory_bytes=self._execution.peak_memory_bytes,
            wall_ms=int((time.monotonic() - self._began) * 1000),
            bytes_in=sum(part.bytes_in for part in moved) if moved else 0,
            bytes_out=sum(part.bytes_out for part in moved) if moved else 0,
            cost_minor=self._context.cost_minor if self._context else 0,
        )

    def clean(self) -> None:
        """Remove what the attempt left on disk."""
        if "directory" in self.__dict__:
            self.directory.remove()
        # They point at each other: without this only the garbage collector would free them.
        self._context = None

    # --- the parts of the step's context

    @cached_property
    def http(self) -> GuardedHttp:
        """For the hosts that the declaration and the resolved parameters name."""
        return GuardedHttp(
            egress=self._doors.egress,
            hosts=declared_hosts(self.call.node_type, self._parameters),
            book=self.book,
            seconds_left=self.seconds_left,
            may_repeat=self.call.node_type.effect is not Effect.UNSAFE,
        )

    @cached_property
    def artifacts(self) -> StepArtifacts:
        """The tenant's objects."""
        return StepArtifacts(self._doors.objects, directory=self.directory)

    @cached_property
    def directory(self) -> WorkDirectory:
        """Made on disk when its path is asked for."""
        return WorkDirectory(self._executor.directories)

    def stopped(self) -> StopReason | None:
        """Why to stop, None while the step should go on."""
        return self._stop.stopped()

    def seconds_left(self) -> float:
        """Until the deadline."""
        return self._deadline - time.monotonic()

    # --- from configuration to outcome

    def _prepared(self, ready: Prepared) -> Work:
        call, doors = self.call, self._doors
        plan = ready.plan or configuration.plan(call.node_type, call.node.configuration)
        if plan.secrets:
            self.book = SecretBook(doors.secrets, allowed=plan.secrets, redactor=Redactor())
        parameters = (
            configuration.resolve(
                call, plan, sandbox=self.sandbox, book=self.book, objects=doors.objects
            )
            if plan.slots
            else call.node.configuration
        )
        self._parameters = parameters
        model = configuration.read(call.node_type, parameters, text=ready.text)
        inputs = outputs.checked_inputs(call, ready, objects=doors.objects)
        self._context = StepContext(self)
        return Work(
            call=call,
            parameters=parameters,
            model=model,
            inputs=inputs,
            context=self._context,
            stop=self._stop,
            deadline=self._deadline,
            execution=self._execution,
        )

    def _execute(self, ready: Prepared, work: Work) -> Any:
        call, results = self.call, self._doors.results
        work.deadline = self._deadline
        if ready.cached_seconds and results is not None:
            kept = self._cached(ready, results)
            if kept is not None:
                return kept
        # An earlier try may have had its effect: the other side is asked before anything is sent.
        if call.node_type.finder is not None and (call.interrupted or call.attempt > 1):
            found = find(work)
            if found is not None:
                return found
            if call.unsure is not None:
                message = "The last attempt was cut off, and the other side knows of no effect."
                raise NodeError(call.unsure, message)
        return self._executor.run(work)

    def _cached(self, ready: Prepared, results: ResultCache) -> dict[str, Any] | None:
        """What an equal step gave before; whatever this one gives is kept for the next."""
        self._entry = cache.Entry(results, self.call, seconds=ready.cached_seconds)
        # A marker has a random part; the secret's name has none.
        parameters = self.book.hide(self._parameters)
        digest = cache.digest_of(
            self.call, ready, parameters, sandbox=self.sandbox, objects=self._doors.objects
        )
        return self._entry.look(ready, digest)

    def _given(self, ready: Prepared, given: StepDone | StepFailed) -> StepOutcome:
        """What the step came to elsewhere, with its conditions evaluated."""
        if isinstance(given, StepFailed):
            error = NodeError(
                given.code, given.message, retryable=given.retryable, details=given.details
            )
            return replace(self._failed(error), decided=given.decided)
        done = self._done(ready, given.outputs)
        if not isinstance(done, StepDone):
            return done
        return replace(done, signal=given.signal, origin=given.origin)

    def _done(self, ready: Prepared, given: Any) -> StepOutcome:
        if isinstance(given, Wait):
            return StepWaits(wait=self._wait(ready, given), usage=self.usage())
        if isinstance(given, MapOpening):
            return StepOpens(opening=given, usage=self.usage())
        call, objects = self.call, self._doors.objects
        if isinstance(given, Repeat):
            inner = outputs.checked_outputs(call, ready, given.outputs, inner=True)
            values, _ = outputs.offloaded(self.book.hide(inner), objects=objects)
            return StepRepeats(values=values, usage=self.usage())
        whole = self.book.hide(outputs.checked_outputs(call, ready, given))
        kept, text = outputs.offloaded(whole, objects=objects)
        held: dict[str, bool] = {}
        if ready.conditions:
            held = conditions.outcomes(
                call, whole, ready=ready, sandbox=self.sandbox, objects=objects
            )
        writes = tuple(self._context.writes.values()) if self._context else ()
        return StepDone(outputs=kept, conditions=held, usage=self.usage(), writes=writes, text=text)

    def _wait(self, ready: Prepared, wait: Wait) -> Wait:
        """The wait as history may hold it: plain JSON without a secret."""
        due = None if wait.due is None else outputs.checked_outputs(self.call, ready, wait.due)
        payload = json_values.plain(wait.payload, where="what the step waits for")
        return replace(wait, payload=self.book.hide(payload), due=self.book.hide(due))

    def _failed(self, error: NodeError | Refusal) -> StepFailed:
        call = self.call
        failed = outputs.failure(error, book=self.book)
        facts = {
            "code": failed.code,
            "message": failed.message,
            "nodeId": call.node.id,
            "attempt": call.attempt,
        }
        held: dict[str, bool] = {}
        try:
            held = conditions.outcomes(
                call,
                {ERROR_PORT: facts},
                ready=prepared(call),
                sandbox=self.sandbox,
                objects=self._doors.objects,
            )
        except NodeError as second:
            # The step's own failure is what counts; a route whose condition fails is not taken.
            logger.warning("An error route's condition failed: %s", second.code)
        # An UNSAFE node that ended in the middle may have done what it does.
        doubtful = call.node_type.effect is Effect.UNSAFE and failed.code in DOUBTFUL
        return replace(
            failed,
            conditions=held,
            retryable=failed.retryable and not doubtful,
            usage=self.usage(),
        )
