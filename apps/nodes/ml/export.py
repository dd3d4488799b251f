"""Export a model as one ONNX file that takes raw numbers, with its model card.

With the recipe of *Scale features* by `features`, the scaling is put in front of the model: whoever
uses the file passes the columns as they are measured. Without it the model is passed on as it is.
The card (Markdown) says what the model predicts from what, how it was trained, and the metrics that
came in. The file is checked by ONNX's own checker before it is stored; MODEL_INVALID otherwise.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from apps.nodes.models import Facts, load_model, read_bytes, write_model
from apps.workflows.graph.declaration import (
    Effect,
    Example,
    Inputs,
    Isolation,
    NodeContext,
    NodeError,
    NodeParameters,
    Outputs,
    Port,
    PortSpec,
    field,
    node,
)

_PREFIX = "scaled_"


class Parameters(NodeParameters):
    """What the card says."""

    name: str = field("model", title="Name", min_length=1, max_length=200)
    description: str = field("", title="Description", max_length=5000)


@node(
    "ml.export",
    version=1,
    title="Export model",
    effect=Effect.PURE,
    isolation=Isolation.PROCESS,
    extra="ml",
    icon="package",
    inputs={
        "model": Port.MODEL,
        "features": PortSpec(type=Port.JSON, required=False),
        "metrics": PortSpec(type=Port.METRICS, required=False),
    },
    outputs={"model": Port.MODEL, "card": Port.TEXT},
    example=Example(
        parameters={"name": "Sizes"},
        inputs={
            "model": {"$example": "ml.train", "port": "model"},
            "features": {"columns": ["size"], "subtract": [2.0], "divide": [1.0]},
            "metrics": {"f1": 1.0},
        },
    ),
)
def export(parameters: Parameters, inputs: Inputs, context: NodeContext) -> Outputs:
    """Put the scaling in front, check, store."""
    content = read_bytes(inputs["model"], context)
    facts = load_model(content).facts
    recipe = inputs.get("features")
    if recipe is not None and not isinstance(recipe, Mapping):
        raise NodeError("FEATURES_MISMATCH", "The recipe is the output of *Scale features*.")
    if recipe:
        content = _with_scaling(content, facts, recipe)
    metrics = inputs.get("metrics") or {}
    return {
        "model": write_model(content, facts, context),
        "card": _card(parameters, facts, metrics, scaled=bool(recipe)),
    }


def _with_scaling(content: bytes, facts: Facts, recipe: Mapping[str, Any]) -> bytes:
    import onnx
    from onnx import TensorProto, compose, helper

    _check_recipe(recipe, facts)
    model = compose.add_prefix(onnx.load_from_string(content), _PREFIX)
    shape = [None, len(facts.columns)]
    entry, between = "features", "between"
    scaler = helper.make_graph(
        [
            helper.make_node("Sub", [entry, "subtract"], ["shifted"]),
            helper.make_node("Div", ["shifted", "divide"], [between]),
        ],
        "scaling",
        [helper.make_tensor_value_info(entry, TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info(between, TensorProto.FLOAT, shape)],
        [
            helper.make_tensor(name, TensorProto.FLOAT, [len(facts.columns)], recipe[name])
            for name in ("subtract", "divide")
        ],
    )
    before = helper.make_model(
        scaler, opset_imports=model.opset_import, ir_version=model.ir_version
    )
    try:
        whole = compose.merge_models(before, model, io_map=[(between, model.graph.input[0].name)])
        onnx.checker.check_model(whole, full_check=True)
    except (ValueError, onnx.checker.ValidationError) as error:
        raise NodeError(
            "MODEL_INVALID", f"The model cannot be put together: {error}"[:300]
        ) from None
    merged: bytes = whole.SerializeToString()
    return merged


def _check_recipe(recipe: Mapping[str, Any], facts: Facts) -> None:
    numbers = [recipe.get(name) for name in ("subtract", "divide")]
    whole = all(
        isinstance(one, list)
        and len(one) == len(facts.columns)
        and all(isinstance(number, int | float) for number in one)
        for one in numbers
    )
    if recipe.get("columns") != list(facts.columns) or not whole:
        raise NodeError(
            "FEATURES_MISMATCH", "The recipe scales other columns than the model learned from."
        )


def _card(parameters: Parameters, facts: Facts, metrics: Mapping[str, Any], *, scaled: bool) -> str:
    lines = [f"# {parameters.name}", ""]
    if parameters.description:
        lines += [parameters.description, ""]
    lines += [
        f"- Predicts: `{facts.target}` ({', '.join(map(str, facts.classes))})",
        f"- Algorithm: {facts.algorithm}",
        f"- Input: {len(facts.columns)} numbers, {'raw' if scaled else 'as in training'}, 32 bit",
        "- Format: ONNX; outputs the label and the probability of each class",
        "",
    ]
    if metrics:
        lines += ["| metric | value |", "|---|---|"]
        lines += [f"| {name} | {_number(metrics[name])} |" for name in sorted(metrics)]
        lines.append("")
    lines += ["Columns, in order:", ""]
    lines += [f"{place}. {name}" for place, name in enumerate(facts.columns, start=1)]
    return "\n".join(lines) + "\n"


def _number(value: Any) -> str:
    return f"{value:.4f}" if isinstance(value, float) else str(value)
