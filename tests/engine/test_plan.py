"""What a document becomes before it runs, and what is refused there."""

from __future__ import annotations

from typing import Any

import pytest

from apps.executions.engine.history import Handling
from apps.executions.engine.plan import CONTAINER, PlanRefused, compile_plan
from tests.factories.graphs import CATALOGUE, a, document, to


def refusal(*nodes: dict[str, Any], links: Any = (), **configuration: Any) -> PlanRefused:
    with pytest.raises(PlanRefused) as refused:
        compile_plan(document(nodes, links, **configuration), CATALOGUE)
    return refused.value


def test_steps_stand_in_an_order_that_can_run() -> None:
    plan = compile_plan(
        document([a("c"), a("a"), a("b")], [to("a", "b"), to("b", "c"), to("a", "c.all")]),
        CATALOGUE,
    )
    assert [step.path for step in plan.steps] == ["a", "b", "c"]
    assert [bin(step.ancestors) for step in plan.steps] == ["0b0", "0b1", "0b11"]


def test_slots_follow_the_width_of_the_graph() -> None:
    wide = [a("s"), *(a(f"n{i}") for i in range(30))]
    links = [to("s", f"n{i}") for i in range(30)]
    assert compile_plan(document(wide, links), CATALOGUE).slots == 8
    roomy = document(wide, links, resources={"maxConcurrency": 100})
    assert compile_plan(roomy, CATALOGUE).slots == 16
    assert compile_plan(document([a("x"), a("y")], [to("x", "y")]), CATALOGUE).slots == 1
    assert compile_plan(document([]), CATALOGUE).slots == 1


def test_required_ports_may_be_configured_instead() -> None:
    nodes = [a("s"), a("p", "picky"), a("q", "picky", configuration={"fallback": 1})]
    links = [to("s", "p.needed"), to("s", "p.either"), to("s", "q.either"), to("s", "q.all")]
    plan = compile_plan(document(nodes, links), CATALOGUE)
    assert plan.step("p").required == {"needed", "either"}
    assert plan.step("q").required == frozenset()
    assert plan.step("q").multiple == {"all"}


def test_the_document_decides_over_the_node_type() -> None:
    node = a("a", timeoutSeconds=7, retry={"maxAttempts": 5}, onError="continue")
    plan = compile_plan(
        document([node, a("b", resources={"timeoutSeconds": 9}), a("c")]), CATALOGUE
    )
    assert [plan.step(p).timeout_seconds for p in "abc"] == [7, 9, 300]
    assert [plan.step(p).retry.max_attempts for p in "ab"] == [5, 1]
    assert plan.step("a").rule("X", retryable=False).handling is Handling.CONTINUE


def test_the_first_rule_that_matches_decides() -> None:
    rules = [
        {"match": {"codes": ["HTTP_5*"]}, "do": "continue"},
        {"match": {"codes": ["HTTP_404"]}, "do": "route"},
        {"match": {"codes": ["HTTP_*"]}, "do": "fail"},
    ]
    step = compile_plan(document([a("a", onError=rules)]), CATALOGUE).step("a")
    codes = ("HTTP_503", "HTTP_404", "HTTP_400", "OTHER")
    found = [step.rule(code, retryable=False).handling.value for code in codes]
    assert found == ["continue", "route", "fail", "fail"]


def test_a_rule_is_for_one_of_its_codes_and_one_of_its_classes() -> None:
    rules = [
        {"match": {"codes": ["HTTP_*"], "classes": ["rateLimit", "timeout"]}, "do": "continue"},
        {"match": {"classes": ["permanent"]}, "do": "route"},
    ]
    step = compile_plan(document([a("a", onError=rules)]), CATALOGUE).step("a")
    cases = [("HTTP_429", True), ("HTTP_504", False), ("STEP_TIMEOUT", False), ("X", True)]
    found = [step.rule(code, retryable=may).handling.value for code, may in cases]
    assert found == ["continue", "continue", "route", "fail"]


def test_a_rule_that_calls_a_disabled_node_is_not_there() -> None:
    rules = [{"do": "fallback", "with": {"node": "b"}}, {"do": "continue"}]
    nodes = [a("a", onError=rules, compensation="b"), a("b", disabled=True)]
    step = compile_plan(document(nodes), CATALOGUE).step("a")
    assert step.rule("X", retryable=False).handling is Handling.CONTINUE
    assert step.compensation is None


@pytest.mark.parametrize("kind", ["pure", "box", "each"])
def test_a_workflow_may_stand_in_for_any_step(kind: str) -> None:
    rule = {"do": "fallback", "with": {"workflow": "b"}}
    step = compile_plan(document([a("a", kind, onError=[rule])]), CATALOGUE).step("a")
    assert step.rule("X", retryable=False).workflow == "b"


def test_who_is_called_must_be_there() -> None:
    assert refusal(a("a", compensation="gone")).code == "DOCUMENT_INVALID"


def test_what_is_not_built_is_refused_by_name() -> None:
    assert refusal(a("a"), errorHandler="a").code == "ERROR_HANDLER_NOT_SUPPORTED"
    compile_plan(document([a("a")], errorHandler={"workflow": "w"}), CATALOGUE)


def test_a_document_that_is_no_graph_is_refused() -> None:
    assert refusal(a("a", "unknown")).code == "NODE_TYPE_UNKNOWN"
    circle = [to("a", "b"), to("b", "a")]
    assert refusal(a("a"), a("b"), links=circle).code == "DOCUMENT_INVALID"
    assert refusal(a("a"), links=[to("a", "gone")]).code == "DOCUMENT_INVALID"
    assert refusal(a("a"), a("b"), links=[to("a", "b.nowhere")]).code == "DOCUMENT_INVALID"


def test_a_container_has_a_plan_of_its_own() -> None:
    nodes = [a("s"), a("c", "box"), a("y", parentId="c"), a("x", parentId="c"), a("e")]
    links = [
        to("s", "c"),
        to("c.item", "x"),
        to("x", "y"),
        to("c.item", "y.all"),
        to("y", "c.next"),
        to("c", "e"),
    ]
    plan = compile_plan(document(nodes, links), CATALOGUE)
    assert [step.path for step in plan.steps] == ["s", "c", "e"]
    assert (plan.entries, plan.exits) == ((), ())
    body = plan.step("c").body
    assert body is not None
    assert [step.path for step in body.steps] == ["x", "y"]
    assert [link.id for link in body.entries] == ["c.item-x", "c.item-y.all"]
    assert [(link.source, link.target) for link in body.exits] == [(1, CONTAINER)]
    x, y = body.steps
    assert (x.awaits, x.ancestors, len(x.incoming)) == (0, 0, 1)
    assert (y.awaits, y.ancestors, len(y.incoming), y.outgoing, len(y.exits)) == (1, 1, 2, (), 1)
    assert [one.id for one in y.connections] == ["y-c.next"]
    assert [one.id for one in plan.step("c").connections] == ["c-e"]


def test_a_body_may_be_empty_or_deep() -> None:
    empty = compile_plan(document([a("c", "box")]), CATALOGUE).step("c").body
    assert empty is not None
    assert empty.steps == ()
    deep = [a("c0", "box"), *(a(f"c{i}", "box", parentId=f"c{i - 1}") for i in range(1, 16))]
    plan = compile_plan(document([*deep, a("x", parentId="c15")]), CATALOGUE)
    for i in range(16):
        body = plan.step(f"c{i}").body
        assert body is not None
        plan = body
    assert [step.path for step in plan.steps] == ["x"]


def test_slots_follow_the_width_of_a_body_too() -> None:
    wide = [a("c", "box"), *(a(f"n{i}", parentId="c") for i in range(5))]
    assert compile_plan(document([*wide, a("beside")]), CATALOGUE).slots == 6
    assert compile_plan(document(wide, [to("c.item", "n0")]), CATALOGUE).slots == 5


@pytest.mark.parametrize(
    ("nodes", "links"),
    [
        ([a("x", parentId="gone")], []),
        ([a("a"), a("x", parentId="a")], []),
        ([a("c", "box", parentId="d"), a("d", "box", parentId="c")], []),
        ([a("c", "box"), a("x", parentId="c"), a("y")], [to("x", "y")]),
        ([a("c", "box"), a("x", parentId="c")], [to("c.item", "x", condition="{{ true }}")]),
    ],
)
def test_walls_hold(nodes: list[dict[str, Any]], links: list[dict[str, Any]]) -> None:
    assert refusal(*nodes, links=links).code == "DOCUMENT_INVALID"
