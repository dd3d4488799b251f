"""Write text from a template.

`{{ … }}` holds an expression over `data`, the value of the port: `Dear {{ data.name }}`. A value
that is not text stands as JSON, null as nothing. With `each`, `data` must be a list: the template
is written once per item, which is called `item` (its position `index`), joined by `separator`.
The expressions run in the sandbox, in one call. Fails with TEMPLATE_INVALID when an expression
can never work, SCRIPT_FAILED when one fails on this data.
"""

from __future__ import annotations

from apps.workflows.graph import templates
from apps.workflows.graph.declaration import (
    Effect,
    Example,
    Inputs,
    NodeContext,
    NodeError,
    NodeParameters,
    Outputs,
    Port,
    PortSpec,
    field,
    node,
)
from apps.workflows.graph.expressions import ExpressionInvalid


class Parameters(NodeParameters):
    """The template."""

    template: str = field(title="Template", max_length=50_000)
    each: bool = field(default=False, title="Once per item")
    separator: str = field("\n", title="Between items", max_length=100)


@node(
    "transform.template",
    version=1,
    title="Template",
    effect=Effect.PURE,
    icon="text",
    code={"template": "template"},
    inputs={"data": PortSpec(type=Port.JSON, required=False)},
    outputs={"text": Port.TEXT},
    example=Example(
        parameters={"template": "{{ index + 1 }}. {{ item.name }}", "each": True},
        inputs={"data": [{"name": "Ada"}, {"name": "Emmy"}]},
        outputs={"text": "1. Ada\n2. Emmy"},
    ),
)
def template(parameters: Parameters, inputs: Inputs, context: NodeContext) -> Outputs:
    """Fill the template in one sandbox call."""
    data = inputs.get("data")
    if parameters.each and not isinstance(data, list):
        raise NodeError("LIST_EXPECTED", "With `each`, the input must be a list.")
    try:
        read = templates.read(parameters.template)
    except ExpressionInvalid as error:
        raise NodeError("TEMPLATE_INVALID", error.message) from None
    if isinstance(read, templates.SecretReference):
        raise NodeError("TEMPLATE_INVALID", "A secret never becomes text.")
    times = len(data) if parameters.each and isinstance(data, list) else 1
    if isinstance(read, str):
        return {"text": parameters.separator.join([read] * times)}
    values = ", ".join(f"({expression.python})" for expression in read.expressions)
    source = (
        f"result = [[{values}] for index, item in enumerate(data)]"
        if parameters.each
        else f"result = [[{values}]]"
    )
    rows = context.script(source, inputs={"data": data})
    texts = [_as_text(read, row) for row in rows]
    return {"text": parameters.separator.join(texts)}


def _as_text(template: templates.Template, values: list[object]) -> str:
    whole = templates.Template(("", *template.pieces))
    return str(whole.render(values))
