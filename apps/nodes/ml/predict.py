"""Use a model on the rows of a table.

Adds the columns `prediction` (the class) and `probability` (of that class, 0 … 1) to the table,
which must hold every column the model learned from. Runs on the ONNX runtime; scikit-learn is not
needed. `keep` lists the columns that stay; all of them when it is empty.
"""

from __future__ import annotations

from apps.nodes.models import features_of, read_model
from apps.nodes.tables import read_table, require_columns, write_table
from apps.workflows.graph.declaration import (
    Effect,
    Example,
    Inputs,
    Isolation,
    NodeContext,
    NodeParameters,
    Outputs,
    Port,
    field,
    node,
)


class Parameters(NodeParameters):
    """What stays."""

    keep: list[str] = field([], title="Columns to keep", max_length=2000)


@node(
    "ml.predict",
    version=1,
    title="Predict",
    effect=Effect.PURE,
    isolation=Isolation.PROCESS,
    extra="ml",
    icon="sparkles",
    inputs={"model": Port.MODEL, "table": Port.TABLE},
    outputs={"table": Port.TABLE},
    example=Example(
        parameters={"keep": ["name"]},
        inputs={
            "model": {"$example": "ml.train", "port": "model"},
            "table": [{"name": "small", "size": -1.7}, {"name": "large", "size": 1.7}],
        },
        outputs={"table": [{"name": "small", "prediction": 0}, {"name": "large", "prediction": 1}]},
    ),
)
def predict(parameters: Parameters, inputs: Inputs, context: NodeContext) -> Outputs:
    """Predict every row."""
    import polars as pl

    model = read_model(inputs["model"], context)
    frame = read_table(inputs["table"], context)
    require_columns(frame, parameters.keep)
    features = features_of(frame, model.facts.columns)
    kept = frame.select(parameters.keep) if parameters.keep else frame
    predicted = kept.with_columns(
        pl.Series("prediction", model.labels(features)),
        pl.Series("probability", model.probabilities(features).max(axis=1, initial=0.0)),
    )
    return {"table": write_table(predicted, context)}
