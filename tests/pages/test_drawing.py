"""The picture of a workflow."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from apps.workflows.drawing import BOX_HEIGHT, BOX_WIDTH, NODE_LIMIT, Drawing, draw

IDS = [f"n{i}" for i in range(12)]


def document(ids: list[str], edges: list[tuple[str, str]], **more: Any) -> dict[str, Any]:
    nodes = [{"id": key, "type": "data.sql", "name": key, **more} for key in ids]
    return {"nodes": nodes, "connections": [{"source": a, "target": b} for a, b in edges]}


def overlapping(drawing: Drawing) -> bool:
    boxes = drawing.boxes
    return any(
        abs(a.x - b.x) < BOX_WIDTH and abs(a.y - b.y) < BOX_HEIGHT
        for i, a in enumerate(boxes)
        for b in boxes[i + 1 :]
    )


@given(edges=st.lists(st.tuples(st.sampled_from(IDS), st.sampled_from(IDS)), max_size=30))
def test_no_two_boxes_overlap_whatever_the_wires_are(edges: list[tuple[str, str]]) -> None:
    drawing = draw(document(IDS, edges))
    assert len(drawing.boxes) == len(IDS)
    assert not overlapping(drawing)


def test_a_step_stands_right_of_what_it_waits_for() -> None:
    drawing = draw(document(["c", "a", "b"], [("a", "b"), ("b", "c"), ("a", "c")]))
    x = {box.id: box.x for box in drawing.boxes}
    assert x["a"] < x["b"] < x["c"]


def test_positions_of_the_document_are_kept() -> None:
    drawn = document(["a", "b"], [])
    drawn["nodes"][0]["position"] = {"x": 100, "y": 500}
    drawn["nodes"][1]["position"] = {"x": 700, "y": 300}
    first, second = draw(drawn).boxes
    assert (second.x - first.x, second.y - first.y) == (600, -200)


def test_positions_that_overlap_are_laid_out_anew() -> None:
    assert not overlapping(draw(document(["a", "b"], [], position={"x": 0, "y": 0})))


def test_a_wire_to_nowhere_is_left_out() -> None:
    drawing = draw(document(["a"], [("a", "gone"), ("gone", "a")]))
    assert drawing.wires == ()


def test_an_unfinished_draft_is_drawn_as_far_as_it_goes() -> None:
    odd = {"nodes": [{"id": "a"}, {"type": "x"}, None, 5], "connections": [None, {"source": "a"}]}
    assert [box.id for box in draw(odd).boxes] == ["a"]


def test_an_empty_document_has_an_empty_picture() -> None:
    assert draw({}).boxes == ()


def test_a_huge_document_is_cut_and_says_so() -> None:
    drawing = draw(document([str(i) for i in range(NODE_LIMIT + 7)], []))
    assert (len(drawing.boxes), drawing.omitted) == (NODE_LIMIT, 7)
