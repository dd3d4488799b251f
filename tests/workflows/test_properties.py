"""What holds for every document, found by search: identity, order, and that nothing breaks."""

from __future__ import annotations

import itertools
import json
from contextlib import suppress
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from apps.workflows.graph import canonical, difference, order, patch, templates
from apps.workflows.graph.document import DocumentInvalid, parse, to_json
from apps.workflows.graph.expressions import ExpressionInvalid
from apps.workflows.graph.normal import normalize
from apps.workflows.graph.validate import read_and_validate, validate
from tests.examples import examples
from tests.factories.workflow_nodes import catalogue, training

CATALOGUE = catalogue()
RELAXED = settings(deadline=None, max_examples=examples(80))

names = st.sampled_from(["a", "b", "c", "d", "e", "f"])
json_values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4)
    ),
    max_leaves=12,
)
plain_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53) + 1, 2**53 - 1)
    | st.floats(allow_nan=False, allow_infinity=False, width=32)
    | st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\0"), max_size=8)
    | st.sampled_from(["{{ nodes.a.table }}", "{{ secrets.T }}", "{{ item.x }}", "{{ ("]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3),
    max_leaves=8,
)
nodes = st.fixed_dictionaries(
    {
        "type": st.sampled_from([one.type for one in CATALOGUE] + ["nobody.knows"]),
        "configuration": st.dictionaries(
            st.sampled_from(["target", "trees", "url", "token", "x"]), plain_values, max_size=3
        ),
    },
    optional={
        "typeVersion": st.sampled_from(["1", "2"]),
        "parentId": names,
        "onError": st.sampled_from(["fail", "continue", "route", [{"do": "fallback"}]]),
        "compensation": names,
        "position": st.fixed_dictionaries({"x": st.integers(0, 9), "y": st.integers(0, 9)}),
        "outputs": st.lists(st.fixed_dictionaries({"name": names}), max_size=2),
        "disabled": st.booleans(),
        "notes": st.sampled_from([None, "why"]),
    },
)
connections = st.fixed_dictionaries(
    {"source": names, "target": names},
    optional={
        "sourcePort": st.sampled_from(["table", "model", "error", "item", "x"]),
        "targetPort": st.sampled_from(["table", "value", "first", "rows", "result"]),
        "condition": st.sampled_from(["value", "{{ metrics.f1 > 1 }}", "x y", "nodes.b.model"]),
    },
)


@st.composite
def documents(draw: st.DrawFn) -> dict[str, Any]:
    """Documents that parse; whether they make sense is another matter."""
    ids = draw(st.lists(names, unique=True, max_size=6))
    return {
        "name": "x",
        "type": draw(st.sampled_from(["ml", "rag", "agentic", "dataPipeline"])),
        "nodes": [{"id": id_, **draw(nodes)} for id_ in ids],
        "connections": draw(st.lists(connections, max_size=8)),
        "configuration": {"variables": draw(st.dictionaries(names, plain_values, max_size=2))},
    }


@RELAXED
@given(json_values)
def test_validation_never_raises_whatever_comes(raw: Any) -> None:
    document, report = read_and_validate(raw, CATALOGUE)
    assert document is not None or report.errors


@RELAXED
@given(st.dictionaries(st.sampled_from([*training(), "x"]), json_values))
def test_nor_when_it_looks_like_a_document(changes: dict[str, Any]) -> None:
    read_and_validate({**training(), **changes}, CATALOGUE)


@RELAXED
@given(st.text())
def test_nor_for_any_text(raw: str) -> None:
    read_and_validate(raw, CATALOGUE)


@RELAXED
@given(documents())
def test_a_document_reads_back_equal_and_validates_without_fail(raw: dict[str, Any]) -> None:
    document = parse(raw)
    assert parse(to_json(document)) == document
    assert parse(json.dumps(to_json(document))) == document
    validate(document, CATALOGUE)


@RELAXED
@given(documents())
def test_the_normal_form_is_stable(raw: dict[str, Any]) -> None:
    normal = normalize(parse(raw), CATALOGUE)
    assert normalize(normal, CATALOGUE) == normal
    assert parse(to_json(normal)) == normal


@RELAXED
@given(documents(), st.randoms(use_true_random=False))
def test_the_hash_knows_neither_key_order_nor_position(raw: dict[str, Any], random: Any) -> None:
    def shuffled(value: Any) -> Any:
        if isinstance(value, dict):
            keys = list(value)
            random.shuffle(keys)
            return {key: shuffled(value[key]) for key in keys}
        return [shuffled(one) for one in value] if isinstance(value, list) else value

    document = parse(raw)
    assert canonical.full_hash(parse(shuffled(raw))) == canonical.full_hash(document)
    moved = {**raw, "nodes": [{**node, "position": {"x": 1.5, "y": 3}} for node in raw["nodes"]]}
    assert canonical.content_hash(parse(moved)) == canonical.content_hash(document)


@RELAXED
@given(documents(), documents())
def test_equal_behavior_and_equal_hash_are_the_same(
    one: dict[str, Any], other: dict[str, Any]
) -> None:
    before, after = parse(one), parse(other)
    changes = difference.compare(before, after)
    assert changes.behavior == (canonical.content_hash(before) != canonical.content_hash(after))
    assert difference.compare(before, before).is_empty
    back = difference.compare(after, before)
    assert {change.node_id for change in back.added} == {c.node_id for c in changes.removed}


@RELAXED
@given(documents())
def test_order_respects_every_connection_of_a_level(raw: dict[str, Any]) -> None:
    document = parse(raw)
    levels = order.levels(document)
    place = {id_: at for level in levels.by_parent.values() for at, id_ in enumerate(level)}
    parents = {node.id: node.parent_id for node in document.nodes}
    for connection in document.connections:
        source, target = connection.source, connection.target
        same = source in parents and target in parents and parents[source] == parents[target]
        if same and source in place and target in place:
            assert place[source] < place[target]
    in_order_or_knotted = set(place) | {id_ for cycle in levels.cycles for id_ in cycle}
    assert bool(levels.cycles) == (set(place) != set(parents))
    assert in_order_or_knotted <= set(parents)
    for cycle in levels.cycles:
        arrows = {(one.source, one.target) for one in document.connections}
        assert set(itertools.pairwise([*cycle, cycle[0]])) <= arrows


@RELAXED
@given(st.text(alphabet="{}'\"\\ ab.()[]+x", max_size=40))
def test_templates_are_read_or_refused(text: str) -> None:
    with suppress(ExpressionInvalid):
        templates.read(text)
    with suppress(ExpressionInvalid):
        templates.condition(text)


@RELAXED
@given(
    plain_values,
    st.lists(st.dictionaries(st.sampled_from(["op", "path", "from", "value"]), json_values)),
)
def test_a_patch_applies_or_is_refused(document: Any, operations: Any) -> None:
    with suppress(DocumentInvalid):
        patch.apply({"x": document}, operations)


def test_a_document_of_two_thousand_nodes_passes_every_rule() -> None:
    count = 2_000
    raw = {
        "name": "large",
        "type": "ml",
        "nodes": [{"id": "n0", "type": "test.source"}]
        + [
            {
                "id": f"n{number}",
                "type": "test.merge",
                "configuration": {},
                "notes": f"{number}",
            }
            for number in range(1, count)
        ],
        "connections": [
            {"source": f"n{number - 1}", "sourcePort": "table", "target": f"n{number}",
             "targetPort": "first", "condition": f"value and nodes.n{number // 2}.table"}
            for number in range(1, count)
        ],
    }  # fmt: skip
    document, report = read_and_validate(raw, CATALOGUE)
    assert document is not None
    assert {issue.code for issue in report.issues} == {"EXTRA_MISSING"}
    assert order.topological_order(document)[-1] == f"n{count - 1}"
