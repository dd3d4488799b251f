"""The table nodes at their edges: what they refuse, and what nobody may reach through SQL."""

from __future__ import annotations

from typing import Any

import pytest

from apps.executions.engine.ports import StepDone, StepFailed
from apps.workflows.graph.shape import Node, NodePort
from tests.nodes.conftest import Bench
from tests.nodes.doubles import step_call
from tests.nodes.examples import read_frame, store_rows

ROWS: list[dict[str, Any]] = [{"n": 1, "text": "a"}, {"n": 2, "text": "b"}, {"n": 3, "text": None}]


def _run(bench: Bench, type: str, configuration: dict[str, Any], rows: Any = None) -> Any:
    inputs = {"table" if type != "transform.sql" else "data": store_rows(rows or ROWS, bench)}
    return bench.run(step_call(type, configuration=configuration, inputs=inputs))


def _refused(outcome: Any, code: str) -> None:
    assert isinstance(outcome, StepFailed), outcome
    assert outcome.code == code, outcome


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("SELECT * FROM read_text('/etc/passwd')", "SQL_DENIED"),
        ("SELECT * FROM read_csv('/etc/passwd')", "SQL_DENIED"),
        ("SELECT * FROM '/etc/passwd'", "SQL_INVALID"),
        ("SELECT * FROM glob('/etc/*')", "SQL_DENIED"),
        ("SELECT * FROM read_parquet('http://127.0.0.1:1/x.parquet')", "SQL_DENIED"),
        ("SELECT getenv('HOME')", "SQL_INVALID"),
        ("COPY data TO '/tmp/out.csv'", "SQL_INVALID"),
        ("ATTACH '/tmp/other.db'", "SQL_INVALID"),
        ("INSTALL httpfs", "SQL_INVALID"),
        ("LOAD httpfs", "SQL_INVALID"),
        ("SET enable_external_access = true", "SQL_INVALID"),
        ("PRAGMA database_list", "SQL_INVALID"),
        ("CREATE TABLE x AS SELECT 1", "SQL_INVALID"),
        ("DELETE FROM data", "SQL_INVALID"),
        ("SELECT 1; SELECT 2", "SQL_INVALID"),
        ("SELECT FROM WHERE", "SQL_INVALID"),
        ("SELECT * FROM absent", "SQL_INVALID"),
        ("SELECT n / 0 FROM data WHERE error('stop')", "SQL_INVALID"),
        ("", "PARAMETER_INVALID"),
    ],
)
def test_sql_reaches_nothing_but_its_tables(node_bench: Bench, query: str, code: str) -> None:
    _refused(_run(node_bench, "transform.sql", {"query": query}), code)


def test_sql_that_never_ends_is_ended(node_bench: Bench) -> None:
    endless = (
        "SELECT count(*) FROM range(1000000) a, range(10000000) b WHERE (a.range * b.range) % 7 = 3"
    )
    call = step_call(
        "transform.sql",
        configuration={"query": endless},
        inputs={"data": store_rows(ROWS, node_bench)},
        seconds=2,
    )

    _refused(node_bench.run(call), "STEP_TIMEOUT")


def test_sql_takes_values_as_parameters_never_as_text(node_bench: Bench) -> None:
    outcome = _run(
        node_bench,
        "transform.sql",
        {
            "query": "SELECT n FROM data WHERE text = $text",
            "arguments": {"text": "a' OR '1'='1"},
        },
    )

    assert isinstance(outcome, StepDone)
    assert read_frame(outcome.outputs["table"], node_bench).height == 0


def test_sql_joins_the_tables_the_node_lists(node_bench: Bench) -> None:
    node = Node(
        id="join",
        type="transform.sql",
        configuration={
            "query": "SELECT data.n, names.name FROM data JOIN names USING (n) ORDER BY n"
        },
        inputs=(NodePort(name="names", data_type="table"),),
    )
    call = step_call(
        "transform.sql",
        node=node,
        inputs={
            "data": store_rows(ROWS, node_bench),
            "names": store_rows([{"n": 2, "name": "two"}], node_bench),
        },
    )

    outcome = node_bench.run(call)

    assert isinstance(outcome, StepDone), outcome
    assert read_frame(outcome.outputs["table"], node_bench).to_dicts() == [{"n": 2, "name": "two"}]


def test_a_result_larger_than_allowed_is_refused(node_bench: Bench) -> None:
    _refused(
        _run(node_bench, "transform.sql", {"query": "SELECT * FROM range(100)", "max_rows": 10}),
        "TOO_MANY_ROWS",
    )


@pytest.mark.parametrize(
    ("type", "configuration"),
    [
        ("data.select", {"columns": ["absent"]}),
        ("data.validate", {"rules": [{"column": "absent", "check": "not_null"}]}),
        ("data.filter", {"conditions": [{"column": "absent", "operator": "is_null"}]}),
        ("data.split", {"stratify_by": "absent"}),
        ("data.to_rows", {"columns": ["absent"]}),
        ("ml.train", {"target": "absent"}),
        ("ml.features", {"columns": ["absent"]}),
    ],
)
def test_a_column_that_is_not_there_is_named(
    node_bench: Bench, type: str, configuration: dict[str, Any]
) -> None:
    port = "train" if type == "ml.features" else "table"
    outcome: Any = node_bench.run(
        step_call(type, configuration=configuration, inputs={port: store_rows(ROWS, node_bench)})
    )

    _refused(outcome, "COLUMN_MISSING")
    assert "'absent'" in outcome.message
    assert "'text'" in outcome.message


@pytest.mark.parametrize(
    ("rule", "valid"),
    [
        ({"column": "text", "check": "not_null"}, 2),
        ({"column": "text", "check": "matches", "pattern": "[ab]"}, 3),
        ({"column": "text", "check": "matches", "pattern": "a"}, 2),
        ({"column": "text", "check": "length", "minimum": 2}, 1),
        ({"column": "text", "check": "one_of", "values": ["a"]}, 2),
        ({"column": "n", "check": "range", "minimum": 2}, 2),
        ({"column": "n", "check": "range", "maximum": 2}, 2),
        ({"column": "n", "check": "unique"}, 3),
        ({"column": "n", "check": "type", "type": "integer"}, 3),
    ],
)
def test_each_rule_keeps_what_it_should(
    node_bench: Bench, rule: dict[str, Any], valid: int
) -> None:
    outcome = _run(node_bench, "data.validate", {"rules": [rule]})

    assert isinstance(outcome, StepDone), outcome
    report: Any = outcome.outputs["report"]
    assert report["valid"] == valid
    assert ("invalid" in outcome.outputs) is (valid < 3)


@pytest.mark.parametrize(
    "configuration",
    [
        {"expect_rows": 4},
        {"rules": [{"column": "text", "check": "type", "type": "number"}]},
    ],
)
def test_a_table_of_another_shape_is_refused(
    node_bench: Bench, configuration: dict[str, Any]
) -> None:
    _refused(_run(node_bench, "data.validate", configuration), "SCHEMA_INVALID")


def test_a_split_is_the_same_for_the_same_seed(node_bench: Bench) -> None:
    rows = [{"n": number, "kind": number % 2} for number in range(40)]
    configuration = {"test_share": 0.25, "stratify_by": "kind", "seed": 7}

    first = _run(node_bench, "data.split", configuration, rows)
    second = _run(node_bench, "data.split", configuration, rows)

    assert first.outputs == second.outputs
    test = read_frame(first.outputs["test"], node_bench)
    assert test.height == 10
    assert test["kind"].sum() == 5


def test_too_few_rows_are_not_split(node_bench: Bench) -> None:
    _refused(_run(node_bench, "data.split", {}, [{"n": 1}]), "TOO_FEW_ROWS")


def test_rows_that_are_none_are_refused(node_bench: Bench) -> None:
    outcome = node_bench.run(step_call("data.from_rows", inputs={"rows": {"a": 1}}))

    _refused(outcome, "ROWS_EXPECTED")


def test_a_file_that_is_no_table_is_refused(node_bench: Bench) -> None:
    reference = {"$artifact": f"sha256:{0:064x}", "mediaType": "text/csv", "bytes": 3}

    outcome = node_bench.run(step_call("data.to_rows", inputs={"table": reference}))

    _refused(outcome, "TABLE_EXPECTED")


def test_rows_do_not_travel_inline(node_bench: Bench) -> None:
    outcome = node_bench.run(step_call("data.to_rows", inputs={"table": [{"a": 1}]}))

    _refused(outcome, "INPUT_INVALID")


def test_a_damaged_table_is_refused(node_bench: Bench) -> None:
    table = store_rows(ROWS, node_bench)
    node_bench.around.objects.stored[table["$artifact"]] = b"not parquet"

    outcome = node_bench.run(step_call("data.to_rows", inputs={"table": table}))

    _refused(outcome, "TABLE_UNREADABLE")


def test_an_object_that_is_gone_is_named(node_bench: Bench) -> None:
    table = store_rows(ROWS, node_bench)
    node_bench.around.objects.stored.clear()

    outcome = node_bench.run(step_call("data.to_rows", inputs={"table": table}))

    _refused(outcome, "ARTIFACT_MISSING")


def test_a_model_that_is_none_is_refused(node_bench: Bench) -> None:
    table = store_rows(ROWS, node_bench)
    model = {**table, "mediaType": "application/onnx"}

    outcome = node_bench.run(step_call("ml.predict", inputs={"table": table, "model": model}))

    _refused(outcome, "MODEL_INVALID")


def test_gaps_are_refused_before_training(node_bench: Bench) -> None:
    rows = [
        {"x": None if number == 3 else float(number), "target": number % 2} for number in range(20)
    ]

    _refused(_run(node_bench, "ml.train", {"folds": 2}, rows), "COLUMN_INVALID")


def test_one_class_is_nothing_to_learn(node_bench: Bench) -> None:
    rows = [{"x": float(number), "target": 1} for number in range(20)]

    _refused(_run(node_bench, "ml.train", {"folds": 2}, rows), "TOO_FEW_ROWS")


def test_classes_may_be_text(node_bench: Bench) -> None:
    rows = [
        {"x": float(number), "target": "low" if number < 10 else "high"} for number in range(20)
    ]

    outcome = _run(node_bench, "ml.train", {"folds": 2, "algorithm": "logistic_regression"}, rows)

    assert isinstance(outcome, StepDone), outcome
    model: Any = outcome.outputs["model"]
    assert model["schema"]["classes"] == ["high", "low"]


def test_a_gate_may_route_instead_of_failing(node_bench: Bench) -> None:
    rows = [{"x": float(number % 7), "target": number % 2} for number in range(40)]
    table = store_rows(rows, node_bench)
    trained = _run(node_bench, "ml.train", {"folds": 2}, rows)

    outcome = node_bench.run(
        step_call(
            "ml.evaluate",
            configuration={
                "gates": [{"metric": "cv_f1", "minimum": 1.0}],
                "on_failure": "route",
            },
            inputs={
                "model": trained.outputs["model"],
                "table": table,
                "cross_validation": trained.outputs["metrics"],
            },
        )
    )

    assert isinstance(outcome, StepDone), outcome
    assert "failed" in outcome.outputs
    assert "passed" not in outcome.outputs


@pytest.mark.parametrize(
    ("type", "configuration", "code"),
    [
        (
            "data.validate",
            {"rules": [{"column": "text", "check": "range", "minimum": 1}]},
            "RULE_INVALID",
        ),
        (
            "data.validate",
            {"rules": [{"column": "text", "check": "matches", "pattern": "("}]},
            "RULE_INVALID",
        ),
        (
            "data.validate",
            {"rules": [{"column": "n", "check": "one_of", "values": ["a"]}]},
            "RULE_INVALID",
        ),
        (
            "data.filter",
            {"conditions": [{"column": "text", "operator": "less", "value": 3}]},
            "CONDITION_INVALID",
        ),
        (
            "data.filter",
            {"conditions": [{"column": "n", "operator": "one_of", "value": ["a", 1]}]},
            "CONDITION_INVALID",
        ),
        (
            "data.filter",
            {"conditions": [{"column": "n", "operator": "equals", "value": [1]}]},
            "CONDITION_INVALID",
        ),
        ("transform.sql", {"query": "SELECT INTERVAL 1 DAY AS i"}, "SQL_FAILED"),
        ("transform.sql", {"query": "SELECT 1 AS a WHERE $x > 1"}, "SQL_INVALID"),
        ("data.select", {"columns": ["n", "text"], "rename": {"n": "text"}}, "COLUMNS_INVALID"),
    ],
)
def test_what_does_not_fit_the_data_is_refused_by_name(
    node_bench: Bench, type: str, configuration: dict[str, Any], code: str
) -> None:
    _refused(_run(node_bench, type, configuration), code)


def test_lists_do_not_fit_csv(node_bench: Bench) -> None:
    outcome = _run(node_bench, "output.object_store", {"format": "csv"}, [{"a": [1, 2]}])

    _refused(outcome, "FORMAT_UNFIT")


def test_rows_are_not_split_by_lists(node_bench: Bench) -> None:
    outcome = _run(node_bench, "data.split", {"stratify_by": "a"}, [{"a": [1]}, {"a": [2]}])

    _refused(outcome, "COLUMN_INVALID")


def test_other_classes_than_the_model_knows_are_refused(node_bench: Bench) -> None:
    rows = [{"x": float(number), "target": number % 2} for number in range(20)]
    trained = _run(node_bench, "ml.train", {"folds": 2}, rows)

    outcome = node_bench.run(
        step_call(
            "ml.evaluate",
            inputs={
                "model": trained.outputs["model"],
                "table": store_rows([{"x": 1.0, "target": "one"}], node_bench),
            },
        )
    )

    _refused(outcome, "TARGET_INVALID")


@pytest.mark.parametrize(
    "features",
    [
        {"columns": ["y"], "subtract": [0.0], "divide": [1.0]},
        {"columns": ["x"], "subtract": [0.0, 1.0], "divide": [1.0]},
        {"columns": ["x"], "subtract": ["a"], "divide": [1.0]},
        [1],
    ],
)
def test_a_recipe_of_something_else_is_refused(node_bench: Bench, features: Any) -> None:
    rows = [{"x": float(number), "target": number % 2} for number in range(20)]
    trained = _run(node_bench, "ml.train", {"folds": 2, "trees": 2}, rows)

    outcome = node_bench.run(
        step_call("ml.export", inputs={"model": trained.outputs["model"], "features": features})
    )

    _refused(outcome, "FEATURES_MISMATCH")


def test_booleans_are_classes_and_numbers(node_bench: Bench) -> None:
    rows = [{"x": number > 10, "y": number, "target": number > 10} for number in range(20)]

    outcome = _run(node_bench, "ml.train", {"folds": 2, "columns": ["x", "y"]}, rows)

    assert isinstance(outcome, StepDone), outcome
