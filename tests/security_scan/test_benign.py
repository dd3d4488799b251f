"""Workflows that are fine raise no blocking finding: every node's example, whole documents."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from apps.security_scan.scanner import Verdict, scan
from apps.workflows.graph import catalogue
from tests.security_scan import declared
from tests.security_scan.documents import document, node

EXAMPLES = Path(__file__).parents[2] / "apps" / "nodes" / "examples"
REFUSED = {"evil.json"}
FINE = sorted(path.name for path in EXAMPLES.glob("*.json") if path.name not in REFUSED)

CUSTOMERS = document(
    node("integration.http", id="fetch", url="https://api.example/v1/customers?page_token=next",
         headers={"Authorization": "{{ secrets.CRM_KEY }}", "X-Request-Id": "{{ run.id }}"}),
    node("data.sql", id="group", statement="SELECT region, count(*) AS n FROM t GROUP BY region"),
    node("code.python", id="score", code=(
        "import math\nfrom urllib.parse import quote\n\n\ndef band(total):\n"
        "    return 'gold' if total > 1000 else 'silver'\n\n\n"
        "rows = [{**row, 'band': band(row['total'])} for row in value]\n"
        "token_count = sum(len(row['text'].split()) for row in rows)\n"
        "value = {'rows': rows, 'tokens': token_count, 'log': math.log1p(token_count)}"
    )),
    node("llm.complete", id="summary", key="{{ secrets.MODEL_KEY }}",
         prompt="Summarize these. Evaluate (do not execute) each: {{ nodes.score.value }}"),
    node("transform.template", id="mail", text="Dear {{ item.name }},\n\nyour password expires."),
    parameters=[
        {"name": "max_tokens", "schema": {"type": "integer"}, "default": 512},
        {"name": "api_key", "schema": {"type": "string"}, "secret": True},
        {"name": "model", "schema": {"type": "string"}, "default": "gpt-large-2026-01-15"},
    ],
    variables={"region": "eu-central-1", "digest": "sha256:" + "9f86d081" * 8,
               "tokenizer": "cl100k_base", "primary_key": "customer_id"},
)  # fmt: skip


def blocking(drawn: dict[str, Any], known: Any) -> list[tuple[str, str, str]]:
    report = scan(drawn, known)
    return [(one.rule, one.path, one.detail) for one in report.blocking]


@pytest.mark.parametrize("name", FINE)
def test_the_examples_of_the_product_pass(name: str) -> None:
    drawn = json.loads((EXAMPLES / name).read_text())
    report = scan(drawn, catalogue.INSTALLED)
    assert (report.verdict, report.findings) == (Verdict.PASSED, ())


def test_the_malicious_example_is_refused_for_what_it_does() -> None:
    drawn = json.loads((EXAMPLES / "evil.json").read_text())
    report = scan(drawn, catalogue.INSTALLED)
    assert [(one.rule, one.severity.value) for one in report.findings] == [
        ("secret.token", "CRITICAL"),
        ("code.dynamic-execution", "HIGH"),
    ]


@pytest.mark.parametrize("kind", catalogue.all_types(), ids=lambda kind: kind.type)
def test_the_example_of_every_node_type_passes(kind: Any) -> None:
    drawn = document(node(kind.type, **dict(kind.example.parameters)))
    assert blocking(drawn, catalogue.INSTALLED) == []


def test_a_workflow_as_people_draw_them_passes() -> None:
    assert blocking(CUSTOMERS, declared.catalogue()) == []
    assert scan(CUSTOMERS, declared.catalogue()).verdict is Verdict.PASSED
