"""The explorer of the API with the network shut: only this machine may be asked."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode, urlsplit

import pytest

from tests.browser.conftest import Product

START = (
    "mutation ($id: ID!) "
    "{ executeWorkflow(workflowId: $id) { execution { id } errors { message } } }"
)


@pytest.fixture
def alone(visit: Any, product: Product) -> Iterator[Any]:
    """`page = alone(account, …)`: requests beyond loopback fail, and the test with them."""
    outside: list[str] = []

    def judge(route: Any) -> None:
        if urlsplit(route.request.url).hostname in {"127.0.0.1", None}:
            route.continue_()
        else:
            outside.append(route.request.url)
            route.abort()

    def open_page(*args: Any, **wishes: Any) -> Any:
        page = visit(*args, **wishes)
        page.context.route("**/*", judge)
        return page

    yield open_page
    assert outside == []


def explore(page: Any, query: str = "", **variables: str) -> None:
    """Open the explorer, with an operation if there is one."""
    given = {"query": query, **variables} if query else {}
    page.goto("/graphql?" + urlencode(given))
    page.locator(".graphiql-query-editor .CodeMirror").wait_for()


def run(page: Any) -> str:
    """Press the button; the answer as text."""
    page.get_by_label("Execute query (Ctrl-Enter)").click()
    page.locator(".result-window .CodeMirror-code").wait_for()
    page.locator(".graphiql-spinner").wait_for(state="detached")
    return str(page.locator(".result-window").inner_text())


@pytest.mark.parametrize("width", [1280, 390])
def test_a_query_runs_with_the_session_and_without_the_internet(
    product: Product, alone: Any, picture: Any, width: int
) -> None:
    page = alone(product.acme, width=width)
    explore(page)
    assert "ada@acme.example" in run(page)
    picture(page, f"explorer-{width}")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.get_by_label("Show Documentation Explorer").click()
    page.get_by_role("link", name="Query", exact=True).click()
    page.get_by_role("link", name="workflows", exact=True).wait_for()
    picture(page, f"explorer-docs-{width}")
    page.get_by_label("Show History").click()
    page.locator(".graphiql-history-item").first.wait_for()
    picture(page, f"explorer-history-{width}")


def test_variables_mutations_and_a_subscription(product: Product, alone: Any, picture: Any) -> None:
    page = alone(product.acme)
    query = '{ workflows(query: "Handy", first: 1) { edges { node { id } } } }'
    explore(page, query)
    workflow = run(page).split('"id":')[1].split('"')[1]
    explore(page, START, variables=f'{{"id": "{workflow}"}}')
    answer = run(page)
    assert '"errors": null' in answer or '"errors": []' in answer
    execution = answer.split('"id":')[1].split('"')[1]
    follow = (
        f'subscription {{ executionEvents(executionId: "{execution}", afterSeq: 0) '
        "{ ... on ExecutionStatusChanged { seq execution { status } } } }"
    )
    explore(page, follow)
    page.get_by_label("Execute query (Ctrl-Enter)").click()
    page.locator(".result-window").get_by_text("execution", exact=False).first.wait_for()
    picture(page, "explorer-subscription")


def test_the_organization_is_chosen_above(product: Product, alone: Any) -> None:
    page = alone(product.globex)
    explore(page, "{ tenant { slug } }")
    assert page.get_by_label("Organization").input_value() == "globex"
    assert '"globex"' in run(page)
