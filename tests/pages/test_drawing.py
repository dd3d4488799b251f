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


def nested() -> dict[str, Any]:
    """before → rows (first → second) → after, with the wires into the body and out of it."""
    drawn = document(
        ["before", "rows", "first", "second", "after"],
        [
            *(("before", "rows"), ("rows", "first"), ("first", "second")),
            *(("second", "rows"), ("rows", "after")),
        ],
    )
    for inner in drawn["nodes"][2:4]:
        inner["parentId"] = "rows"
    return drawn


def test_a_body_stands_below_its_container_in_one_frame() -> None:
    drawing = draw(nested())
    at = {box.id: (box.x, box.y) for box in drawing.boxes}
    assert not overlapping(drawing)
    assert at["before"][0] < at["rows"][0] < at["first"][0] < at["second"][0] < at["after"][0]
    assert at["first"][1] > at["rows"][1] + BOX_HEIGHT
    (frame,) = drawing.regions
    inside = {
        key
        for key, (x, y) in at.items()
        if frame.x < x < frame.x + frame.width and frame.y < y < frame.y + frame.height
    }
    assert inside == {"rows", "first", "second"}
    assert len(drawing.wires) == 3, "the frame says what enters the body and leaves it"


def test_positions_in_a_body_are_relative_to_its_container() -> None:
    drawn = nested()
    for number, node in enumerate(drawn["nodes"]):
        node["position"] = {"x": 260 * number, "y": 100}
    at = {box.id: (box.x, box.y) for box in draw(drawn).boxes}
    assert (at["first"][0] - at["rows"][0], at["first"][1] - at["rows"][1]) == (520, 100)


def test_containers_that_hold_each_other_are_drawn_all_the_same() -> None:
    drawn = document(["a", "b"], [("a", "b")])
    drawn["nodes"][0]["parentId"], drawn["nodes"][1]["parentId"] = "b", "a"
    assert len(draw(drawn).boxes) == 2


def test_an_empty_document_has_an_empty_picture() -> None:
    assert draw({}).boxes == ()


def test_a_huge_document_is_cut_and_says_so() -> None:
    drawing = draw(document([str(i) for i in range(NODE_LIMIT + 7)], []))
    assert (len(drawing.boxes), drawing.omitted) == (NODE_LIMIT, 7)
