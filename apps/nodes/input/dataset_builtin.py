"""Real data that is already installed: for trying things out, examples and tests.

Classification, the class number in `target`: `iris` (150 rows), `wine` (178), `breast_cancer`
(569 rows, 30 measurements of cell nuclei, 0 malignant and 1 benign), `digits` (1,797 images of
8 × 8 pixels). Regression: `diabetes` (442 rows, disease progression in `target`).
Tables: `cars` (406 cars of 1970 to 1982, with gaps), `seattle_weather` (1,461 days),
`seattle_temps` (8,759 hours), `stocks`, `airports`.

The first five ship with scikit-learn, the others with vega_datasets; DATASET_MISSING when the
package is not there. `rows` keeps the first rows only.
"""

from __future__ import annotations

from enum import StrEnum

from apps.nodes.tables import write_table
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


class Dataset(StrEnum):
    """What is there."""

    IRIS = "iris"
    WINE = "wine"
    BREAST_CANCER = "breast_cancer"
    DIGITS = "digits"
    DIABETES = "diabetes"
    CARS = "cars"
    SEATTLE_WEATHER = "seattle_weather"
    SEATTLE_TEMPS = "seattle_temps"
    STOCKS = "stocks"
    AIRPORTS = "airports"


class Parameters(NodeParameters):
    """Which data, and how much of it."""

    name: Dataset = field(title="Dataset")
    rows: int | None = field(None, title="At most this many rows", ge=1)


@node(
    "input.dataset_builtin",
    version=1,
    title="Built-in dataset",
    effect=Effect.PURE,
    isolation=Isolation.PROCESS,
    extra="data",
    icon="database",
    outputs={"table": Port.TABLE},
    example=Example(
        parameters={"name": "iris", "rows": 2},
        outputs={
            "table": [
                {
                    "sepal length (cm)": 5.1,
                    "sepal width (cm)": 3.5,
                    "petal length (cm)": 1.4,
                    "petal width (cm)": 0.2,
                    "target": 0,
                },
                {
                    "sepal length (cm)": 4.9,
                    "sepal width (cm)": 3.0,
                    "petal length (cm)": 1.4,
                    "petal width (cm)": 0.2,
                    "target": 0,
                },
            ]
        },
    ),
)
def dataset_builtin(parameters: Parameters, inputs: Inputs, context: NodeContext) -> Outputs:
    """Read the file and give it as a table."""
    from apps.nodes.input import datasets

    frame = datasets.load(parameters.name.value)
    if parameters.rows is not None:
        frame = frame.head(parameters.rows)
    context.log.info("dataset read", name=parameters.name.value, rows=frame.height)
    return {"table": write_table(frame, context)}
