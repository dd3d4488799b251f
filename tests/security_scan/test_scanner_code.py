"""The scanner on Python and SQL in nodes: each dangerous habit by name, and code that is fine."""

from __future__ import annotations

import io
import sys

import pytest
from bandit.core.config import BanditConfig
from bandit.core.manager import BanditManager

from apps.security_scan.scanner import Report, Severity, Verdict, scan
from tests.security_scan.declared import catalogue
from tests.security_scan.documents import document, node, python

CATALOGUE = catalogue()


def rules(report: Report) -> dict[str, Severity]:
    return {finding.rule: finding.severity for finding in report.findings}


@pytest.mark.parametrize(
    ("code", "rule", "severity"),
    [
        ("result = eval(value)", "code.dynamic-execution", Severity.HIGH),
        ("exec(value)", "code.dynamic-execution", Severity.HIGH),
        ("run = eval\nrun(value)", "code.dynamic-execution", Severity.HIGH),
        ("import builtins\nbuiltins.eval(value)", "code.dynamic-execution", Severity.HIGH),
        ("__import__('os').getcwd()", "code.dynamic-execution", Severity.HIGH),
        (
            "import base64\nexec(base64.b64decode(value))",
            "code.obfuscated-execution",
            Severity.CRITICAL,
        ),
        ("().__class__.__base__.__subclasses__()", "code.sandbox-escape", Severity.HIGH),
        ("getattr(value, '__globals__')", "code.sandbox-escape", Severity.HIGH),
        ("import pickle\npickle.loads(value)", "code.unsafe-deserialization", Severity.HIGH),
        ("import os\nos.system('ls ' + value)", "code.shell-command", Severity.HIGH),
        (
            "import subprocess\nsubprocess.run(value, shell=True)",
            "code.shell-command",
            Severity.HIGH,
        ),
        ("import subprocess\nsubprocess.run(['ls'])", "code.process-start", Severity.HIGH),
        ("import ctypes", "code.native-access", Severity.HIGH),
        ("import os\nhome = os.environ['HOME']", "code.environment-access", Severity.MEDIUM),
        ("import socket", "code.network-access", Severity.MEDIUM),
        ("import yaml\nyaml.load(value)", "code.unsafe-parser", Severity.MEDIUM),
        ("import hashlib\nhashlib.md5(value)", "code.weak-cryptography", Severity.LOW),
        (
            "import requests\nrequests.get('https://a.example', verify=False, timeout=3)",
            "code.transport-security",
            Severity.MEDIUM,
        ),
    ],
)
def test_dangerous_python_is_named(code: str, rule: str, severity: Severity) -> None:
    assert rules(scan(python(code), CATALOGUE))[rule] is severity


def test_a_finding_says_where_it_stands() -> None:
    report = scan(python("rows = value\n\nresult = eval(rows)"), CATALOGUE)
    (finding,) = report.findings
    assert (finding.node_id, finding.path, finding.line, finding.cwe) == (
        "step",
        "configuration.code",
        3,
        "CWE-95",
    )


@pytest.mark.parametrize("comment", ["# nosec", "# nosec B307", "# noqa", "# pragma: allowlist"])
def test_a_comment_does_not_silence_the_scan(comment: str) -> None:
    report = scan(python(f"result = eval(value)  {comment}"), CATALOGUE)
    assert report.verdict is Verdict.FAILED


@pytest.mark.parametrize(
    "code",
    [
        "def run(:",
        # Valid for the sandbox; Bandit's parser is our Python's, which can follow from 3.12 on.
        pytest.param(
            "x = f'{value['a']}'",
            marks=pytest.mark.skipif(sys.version_info >= (3, 12), reason="it can be examined"),
        ),
        "x = " + "+".join(["1"] * 100_000),
        "x = 1\n" * 100_000,
        "x = a" + ".b" * 50_000,
        "value\x00 = 1",
    ],
    ids=["syntax", "newer-syntax", "long-sum", "too-large", "deep-attributes", "null"],
)
def test_code_that_cannot_be_examined_is_refused(code: str) -> None:
    report = scan(python(code), CATALOGUE)
    assert rules(report).get("code.unexaminable") is Severity.HIGH


def test_top_level_await_and_return_are_examined() -> None:
    report = scan(python("data = await fetch(value)\nreturn eval(data)"), CATALOGUE)
    assert "code.dynamic-execution" in rules(report)


def test_python_in_an_undeclared_parameter_is_found() -> None:
    hidden = node("transform.template", text="import os\nos.system('rm ' + value)")
    assert "code.shell-command" in rules(scan(document(hidden), CATALOGUE))


def test_python_of_an_unknown_node_type_is_examined() -> None:
    unknown = node("stranger.script", code="eval(value)")
    assert scan(document(unknown), CATALOGUE).verdict is Verdict.FAILED


def test_eval_in_an_expression_is_found() -> None:
    asked = node("transform.template", text="Hello {{ eval(parameters.code) }}")
    assert rules(scan(document(asked), CATALOGUE))["code.dynamic-execution"] is Severity.HIGH


@pytest.mark.parametrize(
    "statement",
    [
        "INSTALL httpfs",
        "ATTACH 'other.db'",
        "COPY table TO '/tmp/out.csv'",
        "SELECT * FROM read_csv('https://a.example/x.csv')",
        "SELECT * FROM '/etc/passwd'",
    ],
)
def test_sql_that_reaches_outside_is_named(statement: str) -> None:
    report = scan(document(node("data.sql", statement=statement)), CATALOGUE)
    assert rules(report)["sql.external-access"] is Severity.MEDIUM


def test_ordinary_sql_is_clean() -> None:
    statement = "SELECT origin, avg(mpg) AS mpg FROM cars WHERE load > 3 GROUP BY origin"
    assert scan(document(node("data.sql", statement=statement)), CATALOGUE).findings == ()


def test_the_private_seam_of_bandit_holds() -> None:
    """The scanner calls a private method: a Bandit that moves it fails here, not in production."""
    manager = BanditManager(BanditConfig(), "file", ignore_nosec=True)
    manager.files_list = ["node.py"]
    manager._parse_file("node.py", io.BytesIO(b"eval(x)  # nosec\n"), ["node.py"])
    assert [(issue.test_id, issue.lineno) for issue in manager.results] == [("B307", 1)]
    assert manager.skipped == []
