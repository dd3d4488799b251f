"""Run a small Python script in the sandbox.

The inputs are variables: `data` from the port of that name, and one variable per port the node
itself lists. The script binds its answer, any JSON, to `result`. What it prints goes to the run's
log.

    total = sum(row["amount"] for row in data)
    result = {"total": total, "mean": total / len(data)}

It speaks a large part of Python 3 (functions, comprehensions, classes without inheritance,
`match`, `try`) with `math`, `json`, `re`, `datetime`, `collections`, `itertools`, `functools`,
`decimal`, `random`, `hashlib`, `base64`; no files, no network, no packages, no environment.
Limits: 5 s of time, 128 MiB of memory, 4 MiB of result. Errors: SCRIPT_FAILED (with the line),
SCRIPT_TIMEOUT, SCRIPT_MEMORY, SCRIPT_RESULT (not JSON), SCRIPT_TOO_LARGE.
"""

from __future__ import annotations

from apps.workflows.graph.declaration import (
    Effect,
    Example,
    Inputs,
    NodeContext,
    NodeParameters,
    Outputs,
    Port,
    PortSpec,
    field,
    node,
)


class Parameters(NodeParameters):
    """The script."""

    source: str = field(title="Python", min_length=1, max_length=100_000)


@node(
    "logic.python",
    version=1,
    title="Python",
    effect=Effect.PURE,
    icon="code",
    code={"source": "python"},
    inputs={
        "data": PortSpec(type=Port.ANY, required=False),
        "more": PortSpec(type=Port.ANY, required=False, dynamic=True),
    },
    outputs={"result": Port.JSON},
    example=Example(
        parameters={"source": "result = {'sum': sum(data), 'largest': max(data)}"},
        inputs={"data": [3, 1, 2]},
        outputs={"result": {"sum": 6, "largest": 3}},
    ),
)
def python(parameters: Parameters, inputs: Inputs, context: NodeContext) -> Outputs:
    """Run it."""
    return {"result": context.script(parameters.source, inputs={"data": None, **inputs})}
