"""The key that a step's concurrency is counted by, read before the step itself is begun."""

from __future__ import annotations

from apps.executions.engine.ports import StepCall, StepFailed
from apps.executions.runner import configuration, platform
from apps.executions.sandbox import shared
from apps.workflows.graph import templates
from apps.workflows.graph.context import NodeError
from apps.workflows.graph.expressions import ExpressionInvalid

MOST_CHARACTERS = 400


def key_of(call: StepCall, text: str) -> str | StepFailed:
    """The text with its expressions in place; a failure of the step where they have no value."""
    try:
        content = templates.read(text)
        if not isinstance(content, templates.Template):
            return text
        scope = configuration.scope_of(
            call, content.expressions, objects=platform.doors(call).objects
        )
        values = configuration.evaluate(
            content.expressions,
            scope=scope,
            sandbox=shared(),
            paths=["concurrency.key"] * len(content.expressions),
        )
        return str(content.render(list(values)))[:MOST_CHARACTERS]
    except ExpressionInvalid as error:
        return StepFailed(code=error.code, message=error.message)
    except NodeError as error:
        return StepFailed(code=error.code, message=error.message, retryable=error.retryable)
