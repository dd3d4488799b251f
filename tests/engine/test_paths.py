"""How paths read, and the order in which people see them."""

from __future__ import annotations

from apps.executions.engine.paths import iteration_of, node_of, placed


def test_a_path_names_its_node_and_its_iteration() -> None:
    assert node_of("score") == "score"
    assert node_of("rows[3]/retry[1]/score") == "score"
    assert node_of("charge/undo~2") == "undo"
    assert iteration_of("score") is None
    assert iteration_of("charge/undo") is None
    assert iteration_of("rows[3]/retry[12]/score") == 12
    assert iteration_of("rows[3]/charge/undo") == 3
    assert iteration_of("rows[3]/retry") == 3


def test_steps_stand_as_the_document_has_them_iteration_by_iteration() -> None:
    nodes = ["start", "rows", "x", "retry", "score", "end"]
    paths = [
        "end",
        "rows[10]/x",
        "rows[2]/retry[0]/score",
        "rows[2]/retry",
        "rows[2]/x",
        "start",
        "gone",
        "rows",
    ]
    assert placed(paths, nodes) == [
        "start",
        "rows",
        "rows[2]/x",
        "rows[2]/retry",
        "rows[2]/retry[0]/score",
        "rows[10]/x",
        "end",
        "gone",
    ]
