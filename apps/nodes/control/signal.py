"""Wait for a signal from outside: `signalExecution`, or the form on the run's page.

The first signal of this `name` that no other step has taken ends the wait; its payload leaves by
`payload`. With a `correlation_key` only a signal with the same key counts. Signals that came before
are kept, in the order they came, 2,000 at most in one run; one that is sent twice under one
deduplication key counts once.

With `timeout_seconds`, what came in leaves by `timeout` when no signal came in time; with nothing
connected there the step fails with WAIT_TIMEOUT. Without, it waits as long as the run lives.
"""

from __future__ import annotations

from apps.workflows.graph.declaration import (
    TIMEOUT_PORT,
    Effect,
    Example,
    Inputs,
    NodeContext,
    NodeParameters,
    Port,
    PortSpec,
    Wait,
    WaitKind,
    field,
    node,
)


class Parameters(NodeParameters):
    """Which signal, and how long."""

    name: str = field(title="Name of the signal", min_length=1, max_length=200)
    correlation_key: str | None = field(None, title="Correlation key", max_length=200)
    timeout_seconds: float | None = field(
        None, title="Wait at most (seconds)", ge=0, le=366 * 86_400
    )


@node(
    "control.signal",
    version=1,
    title="Wait for signal",
    effect=Effect.PURE,
    icon="radio",
    inputs={"value": PortSpec(type=Port.ANY, required=False)},
    outputs={
        "payload": PortSpec(type=Port.JSON, required=False),
        TIMEOUT_PORT: PortSpec(type=Port.ANY, required=False),
    },
    example=Example(
        parameters={"name": "paid", "timeout_seconds": 3600},
        inputs={"value": 7},
        outputs={"timeout": 7},
    ),
)
def signal(parameters: Parameters, inputs: Inputs, context: NodeContext) -> Wait:
    """Come back when it is here."""
    return Wait(
        kind=WaitKind.SIGNAL,
        name=parameters.name,
        key=parameters.correlation_key,
        seconds=parameters.timeout_seconds,
        due={TIMEOUT_PORT: inputs.get("value")},
    )
