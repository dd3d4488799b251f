"""Wait for a while, or until an instant: from seconds to a year.

Give `amount` and `unit`, or `until` (ISO 8601 with an offset, usually an expression). What came in
by `value` leaves by `value` when the time has come; an instant in the past is no wait at all. While
it waits the run needs no worker and no slot. The time is the database's; it goes on while the run
is paused, and a canceled run waits no more.

Errors: WAIT_INVALID (neither or both given, or no offset), WAIT_TOO_LONG (over 366 days).
"""

from __future__ import annotations

from datetime import datetime, timedelta
from enum import StrEnum

from apps.workflows.graph.declaration import (
    Effect,
    Example,
    Inputs,
    NodeContext,
    NodeError,
    NodeParameters,
    Port,
    PortSpec,
    Wait,
    WaitKind,
    field,
    node,
)

LONGEST = timedelta(days=366)


class Unit(StrEnum):
    """What `amount` counts."""

    SECONDS = "seconds"
    MINUTES = "minutes"
    HOURS = "hours"
    DAYS = "days"


_SECONDS = {Unit.SECONDS: 1, Unit.MINUTES: 60, Unit.HOURS: 3_600, Unit.DAYS: 86_400}


class Parameters(NodeParameters):
    """How long."""

    amount: float | None = field(None, title="Amount", ge=0, le=366 * 86_400)
    unit: Unit = field(Unit.SECONDS, title="Unit")
    until: datetime | None = field(
        None, title="Until", description="Instead of an amount: 2027-01-31T09:00:00+01:00."
    )


@node(
    "control.wait",
    version=1,
    title="Wait",
    effect=Effect.PURE,
    icon="clock",
    inputs={"value": PortSpec(type=Port.ANY, required=False)},
    outputs={"value": Port.ANY},
    example=Example(
        parameters={"amount": 2, "unit": "days"}, inputs={"value": 7}, outputs={"value": 7}
    ),
)
def wait(parameters: Parameters, inputs: Inputs, context: NodeContext) -> Wait:
    """Come back later."""
    due = {"value": inputs.get("value")}
    if (parameters.amount is None) is (parameters.until is None):
        raise NodeError("WAIT_INVALID", "Give either an amount or an instant to wait until.")
    if parameters.amount is not None:
        seconds = parameters.amount * _SECONDS[parameters.unit]
        if seconds > LONGEST.total_seconds():
            raise NodeError("WAIT_TOO_LONG", "A step waits for 366 days at most.")
        return Wait(kind=WaitKind.TIMER, seconds=seconds, due=due)
    until = parameters.until
    if until is None or until.tzinfo is None:
        raise NodeError("WAIT_INVALID", "Write the instant with its offset: …T09:00:00+01:00.")
    # The deadline of this attempt is minutes ahead: near enough to now.
    if until > context.deadline + LONGEST:
        raise NodeError("WAIT_TOO_LONG", "A step waits for 366 days at most.")
    return Wait(kind=WaitKind.TIMER, until=until, due=due)
