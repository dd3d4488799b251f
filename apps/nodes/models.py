"""How a trained model travels: an ONNX graph, data and not code, with its facts inside."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from apps.nodes.tables import require_columns
from apps.workflows.graph.declaration import ArtifactRef, NodeContext, NodeError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import onnxruntime
    import polars as pl

MEDIA_TYPE = "application/onnx"
_METADATA = "nstarx"


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What has to be known to use a model: the columns in order, and what its labels mean."""

    columns: tuple[str, ...]
    target: str
    classes: tuple[Any, ...]
    algorithm: str

    def to_json(self) -> dict[str, Any]:
        """As it stands beside the reference and inside the file."""
        return {
            "format": "onnx",
            "task": "classification",
            "columns": list(self.columns),
            "target": self.target,
            "classes": list(self.classes),
            "algorithm": self.algorithm,
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Facts:
        """Read them back; KeyError when something is missing."""
        return cls(
            columns=tuple(value["columns"]),
            target=value["target"],
            classes=tuple(value["classes"]),
            algorithm=value["algorithm"],
        )


@dataclass(frozen=True)
class Model:
    """A model ready to use."""

    session: onnxruntime.InferenceSession
    facts: Facts

    def labels(self, features: npt.NDArray[np.float32]) -> npt.NDArray[Any]:
        """The predicted class of each row."""
        found: npt.NDArray[Any] = self.session.run(None, {self._input: features})[0]
        return found

    def probabilities(self, features: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """By row and class, in the order of `facts.classes`."""
        found: npt.NDArray[np.float32] = self.session.run(None, {self._input: features})[1]
        return found

    @property
    def _input(self) -> str:
        return str(self.session.get_inputs()[0].name)


def write_model(content: bytes, facts: Facts, context: NodeContext) -> dict[str, Any]:
    """Store a graph, its facts written into it, and answer with the reference for a model port."""
    import onnx

    graph = onnx.load_from_string(content)
    onnx.helper.set_model_props(graph, {_METADATA: json.dumps(facts.to_json())})
    stored = context.artifacts.put(graph.SerializeToString(), media_type=MEDIA_TYPE)
    return ArtifactRef(
        digest=stored.digest,
        media_type=stored.media_type,
        bytes=stored.bytes,
        schema=facts.to_json(),
    ).to_json()


def read_bytes(value: Mapping[str, Any], context: NodeContext) -> bytes:
    """The stored graph behind a model port."""
    reference = ArtifactRef.from_json(value)
    if reference.media_type != MEDIA_TYPE:
        raise NodeError(
            "MODEL_EXPECTED", f"A model travels as {MEDIA_TYPE}, not {reference.media_type}."
        )
    with context.artifacts.open(reference) as stream:
        return stream.read()


def read_model(value: Mapping[str, Any], context: NodeContext) -> Model:
    """Load a model; its facts come from the file itself, which the digest covers."""
    return load_model(read_bytes(value, context))


def load_model(content: bytes) -> Model:
    """A model from its stored bytes."""
    import onnxruntime

    # The runner has switched it off before the library was loaded; this is for other callers.
    onnxruntime.disable_telemetry_events()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4
    try:
        session = onnxruntime.InferenceSession(content, options)
        facts = json.loads(session.get_modelmeta().custom_metadata_map[_METADATA])
        return Model(session, Facts.from_json(facts))
    except Exception as error:
        # The runtime raises a class of its own for every kind of damage.
        raise NodeError(
            "MODEL_INVALID", f"The model cannot be used ({type(error).__name__}); train it again."
        ) from None


def features_of(frame: pl.DataFrame, columns: tuple[str, ...]) -> npt.NDArray[np.float32]:
    """The rows as the model takes them; NodeError names a column that is no number or has gaps."""
    import numpy as np
    import polars as pl

    require_columns(frame, columns)
    for name in columns:
        kind = frame.schema[name]
        if not (kind.is_numeric() or str(kind) == "Boolean"):
            raise NodeError("COLUMN_INVALID", f"The column {name!r} holds {kind}, not numbers.")
        if frame[name].null_count() or (kind.is_float() and frame[name].is_nan().any()):
            raise NodeError(
                "COLUMN_INVALID", f"The column {name!r} has gaps; fill or filter them first."
            )
    numbers = frame.select(pl.col(name).cast(pl.Float32) for name in columns)
    matrix: npt.NDArray[np.float32] = np.ascontiguousarray(numbers.to_numpy())
    return matrix
