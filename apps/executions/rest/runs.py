"""The endpoints: start a run, look at one, cancel one."""

from __future__ import annotations

import math
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from django.http import HttpRequest, HttpResponse

from apps.executions import actions, policies
from apps.executions.models import TriggerKind
from apps.executions.rest import outlook
from apps.executions.rest.door import Call, endpoint
from apps.executions.rest.outlook import Outlook
from apps.executions.rest.seats import Seat
from apps.executions.rest.waiting import until_over
from apps.kit import rest
from apps.kit.errors import Refusal
from apps.kit.graphql.nodes import key_of
from apps.tenancy.actors import Actor
from apps.tenancy.doors import Presumed
from apps.tenancy.models import EnvironmentKind
from apps.tenancy.policies import require

LONGEST_WAIT: Final = 60
_LOOK_AGAIN: Final = "1"
_FIELDS: Final = frozenset({"parameters", "environment", "version"})


@dataclass(frozen=True, kw_only=True, slots=True)
class _Start:
    """What was asked for."""

    parameters: dict[str, Any]
    environment: EnvironmentKind | uuid.UUID
    version: str | None


@endpoint("POST")
async def start(call: Call, *, workflow_id: str) -> HttpResponse:
    """`POST /api/v1/workflows/{id}/runs?wait=`: 201 with the run that has ended, else 202."""
    wait, asked = _wait(call.request), _start(call.body())
    key = call.request.headers.get("Idempotency-Key")
    workflow = key_of(workflow_id, "Workflow", path=("workflowId",))
    with Seat() as seat:

        def begin(actor: Actor) -> Outlook:
            if wait:
                _may_wait(actor, seat)
            run = actions.start_run(
                actor=actor,
                workflow_id=workflow,
                parameters=asked.parameters,
                environment=asked.environment,
                version=asked.version,
                trigger=TriggerKind.API,
                idempotency_key=key,
            )
            return outlook.of(run)

        def presume(presumed: Presumed, permit: Callable[[], object]) -> Outlook | None:
            if asked.version is not None or key is not None:
                return None
            if wait:
                _may_wait(presumed.actor, seat)
            run = actions.presume_run(
                presumed=presumed,
                workflow_id=workflow,
                parameters=asked.parameters,
                environment=asked.environment,
                permit=permit,
            )
            return None if run is None else outlook.of(run)

        seen = await _waited(call, await call.work(begin, presume=presume), wait)
    return _answer(seen, status=201 if seen.is_over else 202)


@endpoint("GET")
async def show(call: Call, *, run_id: str) -> HttpResponse:
    """`GET /api/v1/runs/{id}?wait=`: the run, at its end or when the time is up."""
    wait = _wait(call.request)
    run = key_of(run_id, "Execution", noun="execution", path=("runId",))
    with Seat() as seat:

        def look(actor: Actor) -> Outlook:
            require(policies.can_read_runs(actor), "see runs")
            seen = outlook.look(run)
            if wait and not seen.is_over:
                _may_wait(actor, seat)
            return seen

        seen = await _waited(call, await call.work(look), wait)
    return _answer(seen, status=200)


@endpoint("POST")
async def cancel(call: Call, *, run_id: str) -> HttpResponse:
    """`POST /api/v1/runs/{id}/cancel`: 202, or 200 for a run that has ended already."""
    run = key_of(run_id, "Execution", noun="execution", path=("runId",))
    seen = await call.work(lambda actor: outlook.of(actions.cancel_run(actor=actor, run_id=run)))
    return _answer(seen, status=200 if seen.is_over else 202)


def _may_wait(actor: Actor, seat: Seat) -> None:
    """Who waits is shown the outputs."""
    require(policies.can_read_runs(actor), "see runs, which waiting for one needs")
    if actor.tenant_id is not None:
        seat.take(actor.tenant_id)


async def _waited(call: Call, seen: Outlook, seconds: float) -> Outlook:
    if seen.is_over or not seconds:
        return seen
    return await until_over(
        seen.id, lambda: call.work(lambda _: outlook.look(seen.id)), seconds=seconds
    )


def _answer(seen: Outlook, *, status: int) -> HttpResponse:
    response = rest.answer(seen.to_json(), status=status)
    if status != 200:
        response["Location"] = seen.url
    if not seen.is_over:
        response["Retry-After"] = _LOOK_AGAIN
    return response


def _wait(request: HttpRequest) -> float:
    text = request.GET.get("wait", "0")
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 <= seconds <= LONGEST_WAIT:
        raise Refusal(f"wait is a number of seconds from 0 to {LONGEST_WAIT}.", path=("wait",))
    return seconds


def _start(body: dict[str, Any]) -> _Start:
    unknown = sorted(body.keys() - _FIELDS)
    if unknown:
        known = ", ".join(sorted(_FIELDS))
        raise Refusal(f"Unknown field; {known} are known.", path=(unknown[0][:100],))
    parameters, version = body.get("parameters"), body.get("version")
    if parameters is not None and not isinstance(parameters, dict):
        raise Refusal("Parameters are an object: names and values.", path=("parameters",))
    if version is not None and not isinstance(version, str):
        raise Refusal('A version is a text such as "1.2.0".', path=("version",))
    return _Start(
        parameters=parameters or {}, environment=_environment(body), version=version or None
    )


def _environment(body: dict[str, Any]) -> EnvironmentKind | uuid.UUID:
    named = body.get("environment") or EnvironmentKind.DEVELOPMENT
    try:
        return EnvironmentKind(named)
    except ValueError:
        pass
    try:
        return uuid.UUID(str(named))
    except ValueError:
        kinds = ", ".join(EnvironmentKind)
        raise Refusal(
            f"An environment is {kinds}, or the id of one.", path=("environment",)
        ) from None
