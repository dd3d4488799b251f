"""Judge a model on rows it has not seen, and gate on the outcome.

Computes `accuracy`, `precision`, `recall` and `f1` of the model's labels for the rows of `table`,
which must hold the target. What comes in by `cross_validation` (the metrics of *Train
classifier*) is passed on with `cv_` before each name. Every gate names one of these and its least
value: `{"metric": "cv_f1", "minimum": 0.95}`.

When every gate holds the model leaves by `passed`. When one does not, the step fails with
GATE_FAILED, or, with `on_failure` = `route`, the model leaves by `failed`. `report` holds the
confusion matrix and the outcome of each gate.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field

from apps.nodes.ml.train import scores
from apps.nodes.models import features_of, read_model
from apps.nodes.tables import read_table, require_columns
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

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import polars as pl


class OnFailure(StrEnum):
    """What becomes of a model that misses a gate."""

    FAIL = "fail"
    ROUTE = "route"


class Gate(BaseModel):
    """The least value of one metric."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    metric: str = Field(max_length=100)
    minimum: float


class Parameters(NodeParameters):
    """The gates."""

    gates: list[Gate] = field([], title="Gates", max_length=50)
    on_failure: OnFailure = field(OnFailure.FAIL, title="When a gate is missed")


@node(
    "ml.evaluate",
    version=1,
    title="Evaluate model",
    effect=Effect.PURE,
    isolation=Isolation.PROCESS,
    extra="ml",
    icon="gauge",
    inputs={
        "model": Port.MODEL,
        "table": Port.TABLE,
        "cross_validation": PortSpec(type=Port.METRICS, required=False),
    },
    outputs={
        "metrics": Port.METRICS,
        "report": Port.REPORT,
        "passed": PortSpec(type=Port.MODEL, required=False),
        "failed": PortSpec(type=Port.MODEL, required=False),
    },
    example=Example(
        parameters={"gates": [{"metric": "f1", "minimum": 0.9}]},
        inputs={
            "model": {"$example": "ml.train", "port": "model"},
            "table": [{"size": -1.2, "target": 0}, {"size": 1.2, "target": 1}],
            "cross_validation": {"f1": 0.97},
        },
        outputs={
            "metrics": {"f1": 1.0, "accuracy": 1.0, "cv_f1": 0.97},
            "report": {
                "rows": 2,
                "classes": [0, 1],
                "confusion": [[1, 0], [0, 1]],
                "gates": [{"metric": "f1", "minimum": 0.9, "value": 1.0, "passed": True}],
            },
        },
    ),
)
def evaluate(parameters: Parameters, inputs: Inputs, context: NodeContext) -> Outputs:
    """Score, compare with the gates, decide."""
    from sklearn.metrics import confusion_matrix

    model = read_model(inputs["model"], context)
    frame = read_table(inputs["table"], context)
    require_columns(frame, [model.facts.target])
    if not frame.height:
        raise NodeError("TOO_FEW_ROWS", "There are no rows to judge by.")
    found = model.labels(features_of(frame, model.facts.columns))
    truth = _truth(frame[model.facts.target], found.dtype)
    metrics = scores(truth, found)
    for name, value in (inputs.get("cross_validation") or {}).items():
        metrics[f"cv_{name}"] = value
    gates = [_outcome(gate, metrics) for gate in parameters.gates]
    classes = list(model.facts.classes)
    report = {
        "rows": frame.height,
        "classes": classes,
        "confusion": confusion_matrix(truth, found, labels=classes).tolist(),
        "gates": gates,
    }
    for name in ("f1", "accuracy"):
        context.metric(name, metrics[name])
    missed = [gate for gate in gates if not gate["passed"]]
    if missed and parameters.on_failure is OnFailure.FAIL:
        raise _gate_failed(missed, metrics)
    port = "failed" if missed else "passed"
    return {"metrics": metrics, "report": report, port: inputs["model"]}


def _truth(target: pl.Series, kind: np.dtype[Any]) -> npt.NDArray[Any]:
    """The true labels, of the type the model answers with."""
    try:
        if target.null_count():
            raise ValueError
        return target.to_numpy().astype(kind)
    except (ValueError, TypeError):
        raise NodeError(
            "TARGET_INVALID",
            f"The column {target.name!r} holds {target.dtype} with {target.null_count()} gaps; the"
            " model was trained on other classes.",
        ) from None


def _outcome(gate: Gate, metrics: dict[str, float]) -> dict[str, Any]:
    if gate.metric not in metrics:
        raise NodeError(
            "METRIC_UNKNOWN",
            f"There is no metric {gate.metric!r}; there are {', '.join(sorted(metrics))}.",
        )
    value = metrics[gate.metric]
    return {**gate.model_dump(), "value": value, "passed": value >= gate.minimum}


def _gate_failed(missed: list[dict[str, Any]], metrics: dict[str, float]) -> NodeError:
    told = ", ".join(
        f"{gate['metric']} is {gate['value']:.4f}, not {gate['minimum']:g}" for gate in missed
    )
    return NodeError(
        "GATE_FAILED",
        f"The model is not good enough: {told}.",
        details={"missed": missed, "metrics": metrics},
    )
