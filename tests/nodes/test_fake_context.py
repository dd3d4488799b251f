"""A node can be tested without anything around it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

from apps.nodes import tables
from apps.nodes.data import select
from apps.nodes.input import http_request
from apps.nodes.output import table, webhook
from apps.nodes.testing import Answer, FakeContext
from apps.workflows.graph.declaration import NodeContext, NodeError


def test_the_double_is_a_context(tmp_path: Path) -> None:
    context: NodeContext = FakeContext(tmp_path)

    assert not context.cancelled()


def test_a_table_node_runs_in_it(tmp_path: Path) -> None:
    context = FakeContext(tmp_path)
    given = tables.write_table(pl.DataFrame({"a": [1], "b": [2]}), context)

    outputs = select.select(select.Parameters(columns=["b"]), {"table": given}, context)

    assert tables.read_table(outputs["table"], context).to_dicts() == [{"b": 2}]


def test_a_request_is_kept_with_its_secret_opaque(tmp_path: Path) -> None:
    context = FakeContext(
        tmp_path, answer=lambda request: Answer.of({"n": 1}), secrets=frozenset({"KEY"})
    )
    parameters = http_request.Parameters(url="https://x.example/", token="{{ secrets.KEY }}")

    outputs = http_request.http_request(parameters, {}, context)

    assert outputs["response"]["body"] == {"n": 1}
    assert str(context.requests[0].headers["Authorization"]) == "[secret]"


def test_a_delivery_that_fails_says_whether_to_try_again(tmp_path: Path) -> None:
    context = FakeContext(tmp_path, answer=lambda request: Answer(status=503))

    with pytest.raises(NodeError) as refused:
        webhook.webhook(webhook.Parameters(url="https://x.example/"), {"data": 1}, context)

    assert refused.value.code == "HTTP_503"
    assert refused.value.retryable


def test_writes_are_kept(tmp_path: Path) -> None:
    context = FakeContext(tmp_path)
    given = tables.write_table(pl.DataFrame({"a": [1]}), context)

    table.table(table.Parameters(name="things"), {"table": given}, context)

    assert context.writes["table/things"]["schema"]["rows"] == 1


def test_it_needs_no_framework() -> None:
    script = "import sys, apps.nodes.testing\nprint('django' in sys.modules)"

    ran = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False, timeout=60
    )

    assert ran.stdout.strip() == "False", ran.stderr
