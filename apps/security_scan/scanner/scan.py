"""The one way in: a document and the node catalogue go in, a report comes out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib.metadata import version
from typing import Any

from apps.security_scan.scanner.findings import Finding, Report, judge
from apps.security_scan.scanner.flows import (
    find_egress,
    find_parameters,
    find_secret_flows,
    find_sql,
)
from apps.security_scan.scanner.python_code import examine, examine_expression, refuse
from apps.security_scan.scanner.secrets import find_secrets
from apps.security_scan.scanner.subject import Catalogue, Subject, flatten

MAX_CODE_BYTES = 256 * 1024
"""Code of one document that is examined: what goes beyond is refused, not passed over."""
RULES_VERSION = "1"
"""Raised with every change of a rule; a scan by an older number is stale."""


def scan(document: Mapping[str, Any], catalogue: Catalogue) -> Report:
    """Scan a workflow document's JSON. Pure: same document, catalogue and versions, same report."""
    subject = flatten(document, catalogue)
    return judge(_drop_repeats(_findings(subject)), scanner_versions=scanner_versions())


def scanner_versions() -> dict[str, str]:
    """What judged: our rules and the two sources, by version."""
    return {
        "nstarx-rules": RULES_VERSION,
        "bandit": version("bandit"),
        "detect-secrets": version("detect-secrets"),
    }


def _findings(subject: Subject) -> Iterator[Finding]:
    for text in subject.texts:
        yield from find_secrets(text)
    room = MAX_CODE_BYTES
    for code in subject.python:
        room -= len(code.source)
        yield from examine(code) if room >= 0 else refuse(code)
    for code in subject.expressions:
        yield from examine_expression(code)
    yield from find_sql(subject)
    yield from find_egress(subject)
    yield from find_secret_flows(subject)
    yield from find_parameters(subject)


def _drop_repeats(findings: Iterator[Finding]) -> Iterator[Finding]:
    """One credential is one finding: a suspicion gives way to the detection on the same line."""
    found = list(findings)
    detected = {_place(one) for one in found if one.rule in {"secret.token", "secret.named-field"}}
    executed = {_place(one) for one in found if one.rule == "code.obfuscated-execution"}
    defaults = {one.path for one in found if one.rule == "secret.parameter-default"}
    for one in found:
        if one.rule == "code.hard-coded-credential" and _place(one) in detected:
            continue
        if one.rule == "code.dynamic-execution" and _place(one) in executed:
            continue
        if one.rule in {"secret.named-field", "secret.high-entropy"} and one.path in defaults:
            continue
        yield one


def _place(finding: Finding) -> tuple[str | None, str, int | None]:
    return finding.node_id, finding.path, finding.line
