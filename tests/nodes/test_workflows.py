"""The example workflows give the numbers they promise."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
from sklearn.datasets import load_breast_cancer
from sklearn.ensemble import RandomForestClassifier

from apps.executions.engine.ports import StepDone, StepFailed
from apps.nodes.models import load_model
from apps.security_scan.scanner.scan import scan
from apps.workflows.graph import catalogue
from apps.workflows.graph.document import to_json
from tests.nodes.conftest import Bench, Receiver
from tests.nodes.examples import read_frame
from tests.nodes.walk import Walked, load, walk


def _done(walked: Walked) -> None:
    failed = {
        name: outcome
        for name, outcome in walked.outcomes.items()
        if not isinstance(outcome, StepDone)
    }
    assert not failed, failed


def test_cars_are_parted_summarized_and_stored(node_bench: Bench) -> None:
    walked = walk(load("cars_etl"), node_bench)

    _done(walked)
    report: Any = walked.outputs["check"]["report"]
    assert (report["rows"], report["valid"], report["invalid"]) == (406, 392, 14)
    assert report["broken"]["Miles_per_Gallon:not_null"] == 8
    assert report["broken"]["Horsepower:not_null"] == 6
    summary = read_frame(walked.outputs["store"]["file"], node_bench)
    assert summary["cars"].sum() == 392
    assert set(summary["origin"]) == {"USA", "Europe", "Japan"}
    assert summary.columns == ["origin", "year", "cars", "mpg", "horsepower"]


def test_the_stored_summary_equals_one_computed_another_way(node_bench: Bench) -> None:
    walked = walk(load("cars_etl"), node_bench)

    cars = read_frame(walked.outputs["cars"]["table"], node_bench)
    kept = cars.filter(pl.col("Miles_per_Gallon").is_not_null(), pl.col("Horsepower").is_not_null())
    expected = (
        kept.group_by(
            pl.col("Origin").alias("origin"),
            pl.col("Year").cast(pl.String).str.slice(0, 4).cast(pl.Int32).alias("year"),
        )
        .agg(pl.len().cast(pl.Int64).alias("cars"), pl.col("Horsepower").max().alias("horsepower"))
        .sort("origin", "year")
    )
    stored = read_frame(walked.outputs["store"]["file"], node_bench)
    assert stored.drop("mpg").to_dicts() == expected.to_dicts()


def test_the_quarantine_says_why(node_bench: Bench) -> None:
    walked = walk(load("cars_etl"), node_bench)

    invalid = read_frame(walked.outputs["check"]["invalid"], node_bench)
    assert invalid.height == 14
    assert set(invalid["_reasons"]) == {"Miles_per_Gallon:not_null", "Horsepower:not_null"}
    receipt: Any = walked.outputs["quarantine"]["receipt"]
    assert receipt["rows"] == 14


def test_a_run_again_stores_nothing_new(node_bench: Bench) -> None:
    first = walk(load("cars_etl"), node_bench)
    stored = set(node_bench.around.objects.stored)

    second = walk(load("cars_etl"), node_bench)

    assert set(node_bench.around.objects.stored) == stored
    assert second.outputs == first.outputs


def test_an_override_changes_the_outcome(node_bench: Bench) -> None:
    walked = walk(load("cars_etl"), node_bench, least_horsepower=200, file_name="strong cars")

    receipt: Any = walked.outputs["store"]["receipt"]
    assert receipt["name"] == "strong cars.parquet"
    assert read_frame(walked.outputs["store"]["file"], node_bench)["cars"].sum() < 20


def test_data_worse_than_allowed_fails_and_stores_nothing(node_bench: Bench) -> None:
    walked = walk(load("cars_etl"), node_bench, max_invalid_share=0.01)

    failed = walked.outcomes["check"]
    assert isinstance(failed, StepFailed)
    assert failed.code == "TOO_MANY_INVALID"
    assert {"store", "publish", "quarantine"} <= set(walked.skipped)


def test_the_classifier_passes_its_gate_and_equals_scikit_learn(node_bench: Bench) -> None:
    walked = walk(load("breast_cancer"), node_bench)

    _done(walked)
    metrics: Any = walked.outputs["evaluate"]["metrics"]
    assert metrics["cv_f1"] >= 0.95
    assert metrics["cv_folds"] == 5
    assert metrics["cv_onnx_agreement"] == 1.0
    # The exported file takes raw numbers; scikit-learn gets the scaled ones of the same split.
    scaled = read_frame(walked.outputs["scale"]["train"], node_bench)
    held = read_frame(walked.outputs["scale"]["test"], node_bench)
    raw = read_frame(walked.outputs["split"]["test"], node_bench)
    columns = [name for name in raw.columns if name != "target"]
    forest = RandomForestClassifier(n_estimators=100, random_state=0)
    forest.fit(scaled.select(columns).to_numpy().astype(np.float32), scaled["target"].to_numpy())
    expected = forest.predict(held.select(columns).to_numpy().astype(np.float32))
    model = load_model(node_bench.around.objects.read(walked.outputs["export"]["model"]))
    found = model.labels(raw.select(columns).to_numpy().astype(np.float32))
    assert (found == expected).all()
    predicted = read_frame(walked.outputs["predict"]["table"], node_bench)
    assert (predicted["prediction"].to_numpy() == expected).all()


def test_the_model_card_names_metrics_and_columns(node_bench: Bench) -> None:
    walked = walk(load("breast_cancer"), node_bench, trees=10, min_f1=0.5)

    card: Any = walked.outputs["export"]["card"]
    assert "| cv_f1 | 0.9" in card
    assert "30. worst fractal dimension" in card


def test_a_gate_out_of_reach_exports_nothing(node_bench: Bench) -> None:
    walked = walk(load("breast_cancer"), node_bench, trees=10, min_f1=1.0)

    failed = walked.outcomes["evaluate"]
    assert isinstance(failed, StepFailed)
    assert failed.code == "GATE_FAILED"
    assert {"export", "predict"} <= set(walked.skipped)


def test_the_built_in_data_equals_that_of_scikit_learn(node_bench: Bench) -> None:
    walked = walk(load("breast_cancer"), node_bench, trees=10, min_f1=0.5)

    frame = read_frame(walked.outputs["data"]["table"], node_bench)
    original = load_breast_cancer()
    assert frame.columns[:-1] == list(original.feature_names)
    assert (frame.drop("target").to_numpy() == original.data).all()
    assert (frame["target"].to_numpy() == original.target).all()


def test_deliveries_carry_one_key_per_step(node_bench: Bench, receiver: Receiver) -> None:
    walked = walk(load("effects"), node_bench, sink_url=f"{receiver.url}/in", rounds=10)

    _done(walked)
    keys = [seen["headers"]["idempotency-key"] for seen in receiver.seen]
    assert len(keys) == len(set(keys)) == 8
    assert [seen["json"]["data"]["part"] for seen in receiver.seen] == list(range(1, 9))


def test_the_scan_refuses_the_evil_one() -> None:
    findings = scan(to_json(load("evil")), catalogue.INSTALLED)

    assert str(findings.verdict).endswith("FAILED")
    assert {(one.node_id, str(one.severity)) for one in findings.findings} >= {
        ("compute", "HIGH"),
        ("report", "CRITICAL"),
    }


def test_the_scan_passes_the_good_ones() -> None:
    for name in ("cars_etl", "breast_cancer", "effects", "root"):
        findings = scan(to_json(load(name)), catalogue.INSTALLED)
        assert not str(findings.verdict).endswith("FAILED"), (name, findings.findings)
