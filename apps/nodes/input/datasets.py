"""Real data that ships inside installed packages: where each file lies and how it is read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from apps.workflows.graph.declaration import NodeError

if TYPE_CHECKING:
    import polars as pl

_CELL = ("radius", "texture", "perimeter", "area", "smoothness", "compactness", "concavity")
_CELL_MORE = ("concave points", "symmetry", "fractal dimension")
_BREAST_CANCER = tuple(
    f"{kind} {name}".strip() if kind != "error" else f"{name} error"
    for kind in ("mean", "error", "worst")
    for name in (*_CELL, *_CELL_MORE)
)
_IRIS = ("sepal length (cm)", "sepal width (cm)", "petal length (cm)", "petal width (cm)")
_WINE = (
    "alcohol",
    "malic_acid",
    "ash",
    "alcalinity_of_ash",
    "magnesium",
    "total_phenols",
    "flavanoids",
    "nonflavanoid_phenols",
    "proanthocyanins",
    "color_intensity",
    "hue",
    "od280/od315_of_diluted_wines",
    "proline",
)
_DIABETES = ("age", "sex", "bmi", "bp", "s1", "s2", "s3", "s4", "s5", "s6")
_DIGITS = tuple(f"pixel_{row}_{column}" for row in range(8) for column in range(8))


@dataclass(frozen=True)
class Source:
    """One dataset: the package it ships in, and how to read it from the package's directory."""

    package: str
    read: Callable[[Path], pl.DataFrame]


def load(name: str) -> pl.DataFrame:
    """The whole dataset; NodeError DATASET_MISSING when its package is not installed."""
    source = SOURCES[name]
    found = find_spec(source.package)
    if found is None or not found.submodule_search_locations:
        raise NodeError(
            "DATASET_MISSING", f"The dataset {name} comes with {source.package}; install it here."
        )
    return source.read(Path(found.submodule_search_locations[0]))


def _counted(file: str, columns: tuple[str, ...]) -> Callable[[Path], pl.DataFrame]:
    """A CSV whose first line counts rows and columns; the last column is the class number."""

    def read(root: Path) -> pl.DataFrame:
        import polars as pl

        frame = pl.read_csv(root / "datasets/data" / file, skip_rows=1, has_header=False)
        frame = frame.rename(dict(zip(frame.columns, (*columns, "target"), strict=True)))
        return frame.with_columns(
            pl.exclude("target").cast(pl.Float64), pl.col("target").cast(pl.Int64)
        )

    return read


def _digits(root: Path) -> pl.DataFrame:
    import polars as pl

    frame = pl.read_csv(root / "datasets/data/digits.csv.gz", has_header=False)
    frame = frame.rename(dict(zip(frame.columns, (*_DIGITS, "target"), strict=True)))
    return frame.with_columns(
        pl.exclude("target").cast(pl.Float64), pl.col("target").cast(pl.Int64)
    )


def _diabetes(root: Path) -> pl.DataFrame:
    import gzip

    import polars as pl

    def numbers(file: str) -> list[list[float]]:
        text = gzip.decompress((root / "datasets/data" / file).read_bytes()).decode()
        return [[float(cell) for cell in line.split()] for line in text.splitlines() if line]

    rows = numbers("diabetes_data_raw.csv.gz")
    frame = pl.DataFrame(rows, schema=list(_DIABETES), orient="row")
    target = [row[0] for row in numbers("diabetes_target.csv.gz")]
    return frame.with_columns(pl.Series("target", target))


def _json(file: str) -> Callable[[Path], pl.DataFrame]:
    def read(root: Path) -> pl.DataFrame:
        import polars as pl

        return pl.read_json(root / "_data" / file, infer_schema_length=None)

    return read


def _csv(file: str) -> Callable[[Path], pl.DataFrame]:
    def read(root: Path) -> pl.DataFrame:
        import polars as pl

        return pl.read_csv(root / "_data" / file, infer_schema_length=None, try_parse_dates=True)

    return read


SOURCES = {
    "iris": Source("sklearn", _counted("iris.csv", _IRIS)),
    "wine": Source("sklearn", _counted("wine_data.csv", _WINE)),
    "breast_cancer": Source("sklearn", _counted("breast_cancer.csv", _BREAST_CANCER)),
    "digits": Source("sklearn", _digits),
    "diabetes": Source("sklearn", _diabetes),
    "cars": Source("vega_datasets", _json("cars.json")),
    "seattle_weather": Source("vega_datasets", _csv("seattle-weather.csv")),
    "seattle_temps": Source("vega_datasets", _csv("seattle-temps.csv")),
    "stocks": Source("vega_datasets", _csv("stocks.csv")),
    "airports": Source("vega_datasets", _csv("airports.csv")),
}
