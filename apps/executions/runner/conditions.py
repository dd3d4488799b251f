"""Which conditions on a step's outgoing connections hold for what it gave."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from apps.executions.engine.ports import StepCall
from apps.executions.runner import configuration, values
from apps.executions.runner.doors import ObjectStore
from apps.executions.runner.prepared import Condition, Prepared
from apps.executions.sandbox import Sandbox
from apps.workflows.graph import templates
from apps.workflows.graph.context import NodeError
from apps.workflows.graph.expressions import CONDITION_VALUE, Expression, ExpressionInvalid

# No port can be named so.
_VALUES = "_values_by_connection"


def outcomes(
    call: StepCall,
    outputs: Mapping[str, Any],
    *,
    ready: Prepared,
    sandbox: Sandbox,
    objects: ObjectStore,
) -> dict[str, bool]:
    """By connection id, for each that has a condition and leaves by a port that was taken.

    The condition sees the output ports by name, `value` (what travels along) and all that a
    parameter may see, this step's own outputs under `nodes` included.
    """
    live = [one for one in ready.conditions if one.port in outputs]
    if not live:
        return {}
    parsed = [one.expression or _parsed(one) for one in live]
    after = replace(call, upstream={**call.upstream, call.node.id: outputs})
    scope = configuration.scope_of(after, parsed, objects=objects)
    names = {name for expression in parsed for name in expression.names}
    for port in names & outputs.keys() - scope.keys():
        scope[port] = values.load(outputs[port], objects)
    scope[_VALUES] = [
        values.load(outputs[one.port], objects) if CONDITION_VALUE in expression.names else None
        for one, expression in zip(live, parsed, strict=True)
    ]
    found = configuration.evaluate(
        parsed,
        scope=scope,
        sandbox=sandbox,
        paths=[f"connections.{one.connection.id}.condition" for one in live],
        python=[
            f"(lambda {CONDITION_VALUE}: bool({expression.python}))({_VALUES}[{at}])"
            for at, expression in enumerate(parsed)
        ],
    )
    return {one.connection.id: bool(value) for one, value in zip(live, found, strict=True)}


def _parsed(condition: Condition) -> Expression:
    try:
        return templates.condition(str(condition.connection.condition))
    except ExpressionInvalid as error:
        raise NodeError(error.code, f"A condition is not valid: {error.message}") from None
