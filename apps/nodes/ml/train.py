"""Train a classifier and judge it by cross-validation.

`random_forest` (scikit-learn, `trees` of them) or `logistic_regression` (scale the features
first). The model is fitted on all rows; `metrics` are the means over `folds` stratified folds,
each scored on rows its fit has not seen: `f1`, `accuracy`, `precision`, `recall`, and `f1_std`.
With two classes they are those of the higher label, with more the macro average. A single split
of a few hundred rows moves by a point or two; gate on these.

The model leaves as an ONNX graph: data, which any ONNX runtime reads, and nothing that could run
code when loaded. Its labels are compared with scikit-learn's on every training row; ONNX_MISMATCH
when they differ in more than `1 - min_agreement` of them (`onnx_agreement` among the metrics).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, assert_never

from apps.nodes.ml.features import numeric_columns
from apps.nodes.models import Facts, features_of, read_model, write_model
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
    Resources,
    field,
    node,
)

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import polars as pl


class Algorithm(StrEnum):
    """What is trained."""

    RANDOM_FOREST = "random_forest"
    LOGISTIC_REGRESSION = "logistic_regression"


class Parameters(NodeParameters):
    """What to train, on what."""

    algorithm: Algorithm = field(Algorithm.RANDOM_FOREST, title="Algorithm")
    target: str = field("target", title="Column to predict", max_length=200)
    columns: list[str] = field([], title="Columns to learn from", max_length=2000)
    trees: int = field(100, title="Trees of the forest", ge=1, le=1000)
    folds: int = field(5, title="Folds of the cross-validation", ge=2, le=20)
    seed: int = field(0, title="Seed", ge=0, le=2**32 - 1)
    min_agreement: float = field(1.0, title="Rows whose ONNX label must agree", ge=0, le=1)


@dataclass(frozen=True)
class _Data:
    """Rows as the estimators take them."""

    features: npt.NDArray[np.float32]
    labels: npt.NDArray[Any]
    columns: tuple[str, ...]


@node(
    "ml.train",
    version=1,
    title="Train classifier",
    effect=Effect.PURE,
    isolation=Isolation.PROCESS,
    extra="ml",
    icon="brain",
    resources=Resources(memory="1Gi", timeout_seconds=1800),
    inputs={"table": Port.TABLE},
    outputs={"model": Port.MODEL, "metrics": Port.METRICS},
    example=Example(
        parameters={"algorithm": "logistic_regression", "folds": 2},
        inputs={
            "table": [
                {"size": -2.0, "target": 0},
                {"size": -1.5, "target": 0},
                {"size": -1.0, "target": 0},
                {"size": 1.0, "target": 1},
                {"size": 1.5, "target": 1},
                {"size": 2.0, "target": 1},
            ]
        },
        outputs={"metrics": {"f1": 1.0, "accuracy": 1.0, "folds": 2, "onnx_agreement": 1.0}},
    ),
)
def train(parameters: Parameters, inputs: Inputs, context: NodeContext) -> Outputs:
    """Cross-validate, fit on everything, convert, compare."""
    data = _data(read_table(inputs["table"], context), parameters)
    metrics = _cross_validate(data, parameters, context)
    estimator = _estimator(parameters)
    estimator.fit(data.features, data.labels)
    facts = Facts(
        columns=data.columns,
        target=parameters.target,
        classes=tuple(estimator.classes_.tolist()),
        algorithm=parameters.algorithm.value,
    )
    model = write_model(_convert(estimator, len(data.columns)), facts, context)
    metrics["onnx_agreement"] = agreement = _agreement(model, estimator, data, context)
    if agreement < parameters.min_agreement:
        raise NodeError(
            "ONNX_MISMATCH",
            f"The exported model agrees with scikit-learn on {agreement:.4%} of the rows only.",
        )
    for name in ("f1", "accuracy"):
        context.metric(name, metrics[name])
    context.log.info("trained", algorithm=facts.algorithm, rows=len(data.labels), f1=metrics["f1"])
    return {"model": model, "metrics": metrics}


def _data(frame: pl.DataFrame, parameters: Parameters) -> _Data:
    require_columns(frame, [parameters.target])
    target = frame[parameters.target]
    kind = target.dtype
    if target.null_count() or not (kind.is_integer() or str(kind) in ("String", "Boolean")):
        raise NodeError(
            "TARGET_INVALID",
            f"The target {parameters.target!r} must hold classes (integers, text or booleans)"
            f" without gaps; it holds {kind}.",
        )
    columns = tuple(parameters.columns) or numeric_columns(frame, except_for=parameters.target)
    labels = target.to_numpy()
    if str(kind) == "Boolean":
        labels = labels.astype("int64")
    if str(kind) == "String":
        labels = labels.astype(str)
    smallest = min(target.unique_counts(), default=0)
    if target.n_unique() < 2 or smallest < parameters.folds:
        raise NodeError(
            "TOO_FEW_ROWS",
            f"Each of at least two classes needs {parameters.folds} rows, one per fold.",
        )
    return _Data(features_of(frame, columns), labels, columns)


def _estimator(parameters: Parameters) -> Any:
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.linear_model import LogisticRegression

    match parameters.algorithm:
        case Algorithm.RANDOM_FOREST:
            return RandomForestClassifier(
                n_estimators=parameters.trees, random_state=parameters.seed, n_jobs=1
            )
        case Algorithm.LOGISTIC_REGRESSION:
            return LogisticRegression(max_iter=5_000, random_state=parameters.seed)
        case other:
            assert_never(other)


def _cross_validate(data: _Data, parameters: Parameters, context: NodeContext) -> dict[str, float]:
    from sklearn.model_selection import StratifiedKFold

    splitter = StratifiedKFold(parameters.folds, shuffle=True, random_state=parameters.seed)
    scored = []
    for fold, (learn, judge) in enumerate(splitter.split(data.features, data.labels), start=1):
        estimator = _estimator(parameters)
        estimator.fit(data.features[learn], data.labels[learn])
        scored.append(scores(data.labels[judge], estimator.predict(data.features[judge])))
        context.progress(fold, parameters.folds + 1)
    means = {name: _mean([one[name] for one in scored]) for name in scored[0]}
    spread = _mean([(one["f1"] - means["f1"]) ** 2 for one in scored]) ** 0.5
    rows = len(data.labels)
    return {**means, "f1_std": spread, "folds": parameters.folds, "rows": rows}


def scores(truth: npt.NDArray[Any], found: npt.NDArray[Any]) -> dict[str, float]:
    """Accuracy, and precision, recall and F1 of the higher of two classes, else macro."""
    from sklearn.metrics import accuracy_score, precision_recall_fscore_support

    classes = sorted(set(truth.tolist()) | set(found.tolist()))
    binary = len(classes) == 2
    precision, recall, f1, _ = precision_recall_fscore_support(
        truth,
        found,
        average="binary" if binary else "macro",
        pos_label=classes[-1] if binary else 1,
        zero_division=0.0,
    )
    return {
        "f1": float(f1),
        "accuracy": float(accuracy_score(truth, found)),
        "precision": float(precision),
        "recall": float(recall),
    }


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)


def _convert(estimator: Any, width: int) -> bytes:
    from skl2onnx import to_onnx
    from skl2onnx.common.data_types import FloatTensorType

    graph = to_onnx(
        estimator,
        initial_types=[("features", FloatTensorType([None, width]))],
        # Probabilities as a plain matrix instead of one dictionary per row.
        options={"zipmap": False},
    )
    content: bytes = graph.SerializeToString()
    return content


def _agreement(model: dict[str, Any], estimator: Any, data: _Data, context: NodeContext) -> float:
    exported = read_model(model, context)
    same = exported.labels(data.features) == estimator.predict(data.features)
    return float(same.mean())
