"""Structural rules: which hosts a document calls, and where its secrets can go."""

from __future__ import annotations

import ipaddress
import re
from collections import defaultdict
from collections.abc import Iterator
from urllib.parse import urlsplit

from apps.security_scan.scanner import braces
from apps.security_scan.scanner.findings import Finding
from apps.security_scan.scanner.patterns import is_placeholder, names_a_secret
from apps.security_scan.scanner.rules import RULES
from apps.security_scan.scanner.subject import SECRET_REFERENCE, Step, Subject, Text

_URL = re.compile(
    r"(?i)\b(?:https?|wss?|ftp)://(?:\[[0-9a-f:.%]{2,60}\])?[^\s\"'<>`\\)\[\]}]{0,2000}"
)
_INTERNAL_SUFFIXES = (".local", ".internal", ".localhost", ".svc", ".cluster.local", ".lan")
_INTERNAL_NAMES = frozenset({"localhost", "metadata", "metadata.google.internal"})
_DATA = re.compile(r"\b(?:nodes|item|inputs)\b")
_SQL_OUTSIDE = re.compile(
    r"(?is)\b(?:install|attach|load)\s{1,9}['\"\w]|\bcopy\b[^;']{0,200}\bto\b\s{0,9}'|"
    r"\b(?:read_(?:csv|parquet|json|text|blob)\w*|glob|from)\s{0,9}\(?\s{0,9}'[^']{0,20}(?:://|/)"
)
_EXPRESSION_MARK = "expression"


def find_sql(subject: Subject) -> Iterator[Finding]:
    """SQL that reaches for files, extensions or addresses."""
    for code in subject.sql:
        if _SQL_OUTSIDE.search(code.source):
            yield RULES["sql.external-access"].found(
                "The statement names a file, an address or an extension.",
                node_id=code.node_id,
                path=code.path,
            )


def find_egress(subject: Subject) -> Iterator[Finding]:
    """Addresses that are internal, chosen by data, or not declared by the node that uses them."""
    code_paths = {(code.node_id, code.path) for code in (*subject.python, *subject.sql)}
    for step in subject.steps:
        declared_here = set(step.addresses())
        for text in step.texts:
            if not text.path.startswith("configuration"):
                continue
            declared = text in declared_here
            if declared:
                yield from _chosen_by_data(text)
            judged = declared or step.reaches_out or (step.id, text.path) in code_paths
            for host in _hosts(text, bare=declared):
                if is_internal(host):
                    yield _at(text, "egress.internal-address", f"The host `{host}` is internal.")
                elif judged and not declared and not _is_declared(host, step):
                    yield _at(text, "egress.undeclared-host", f"The host `{host}` is not declared.")


def find_secret_flows(subject: Subject) -> Iterator[Finding]:
    """Secrets in data that reaches a node with egress, in addresses, or sent where data decides."""
    onward = defaultdict(set)
    for source, target in subject.edges:
        onward[source].add(target)
    by_id = {step.id: step for step in subject.steps}
    for step in subject.steps:
        addresses = set(step.addresses())
        host_by_data = any(_host_is_data(text) for text in addresses)
        for text in step.texts:
            names = _secrets_in(text)
            if not names:
                continue
            shown = ", ".join(f"`{name}`" for name in names)
            if text in addresses:
                yield _at(text, "flow.secret-in-address", f"{shown} is part of an address.")
            elif step.reaches_out and host_by_data:
                yield _at(text, "flow.secret-to-egress", f"{shown} goes where data decides.")
            elif not step.reaches_out and not step.may_hold_secret(text):
                exit_id = _first_exit(step.id, onward, by_id)
                if exit_id is not None:
                    yield _at(
                        text,
                        "flow.secret-to-egress",
                        f"{shown} can travel from here to `{exit_id}`, which sends data out.",
                    )


def find_parameters(subject: Subject) -> Iterator[Finding]:
    """Parameters that hold a secret without saying so, or that bring one along."""
    for index, parameter in enumerate(subject.parameters):
        name = str(parameter.get("name") or "")
        path = f"configuration.parameters[{index}]"
        default = parameter.get("default")
        filled = isinstance(default, str) and bool(default) and not braces.insides(default)
        secret = parameter.get("secret") is True
        if filled and (secret or names_a_secret(name)) and not is_placeholder(str(default)):
            yield RULES["secret.parameter-default"].found(
                f"The parameter `{name}` comes with a value.", node_id=None, path=f"{path}.default"
            )
        if names_a_secret(name) and not secret:
            yield RULES["secret.plain-parameter"].found(
                f"The parameter `{name}` is shown in forms and kept in run history.",
                node_id=None,
                path=path,
            )


def is_internal(host: str) -> bool:
    """Whether a host names the platform's own network; every way to write an address is tried."""
    bare = host.strip("[]").rstrip(".").lower()
    if bare in _INTERNAL_NAMES or bare.endswith(_INTERNAL_SUFFIXES):
        return True
    address = _address(bare)
    return address is not None and not address.is_global


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        parsed = ipaddress.ip_address(host)
    except ValueError:
        # "2130706433" and "0x7f000001" are 127.0.0.1 to a resolver.
        if not re.fullmatch(r"\d{1,10}|0x[0-9a-f]{1,8}", host):
            return None
        number = int(host, 0) if host.startswith("0x") else int(host)
        return ipaddress.IPv4Address(number) if number < 2**32 else None
    if isinstance(parsed, ipaddress.IPv6Address) and parsed.ipv4_mapped is not None:
        return parsed.ipv4_mapped
    return parsed


def _hosts(text: Text, *, bare: bool) -> Iterator[str]:
    """Literal hosts of a text; `bare` also takes a text that is a host and nothing else."""
    literal = braces.replaced(text.value, lambda _: _EXPRESSION_MARK)
    for match in _URL.finditer(literal):
        host = _host_of(match.group())
        if host and _EXPRESSION_MARK not in host:
            yield host
    if bare and "://" not in literal and re.fullmatch(r"[\w.\[\]:-]{1,255}", literal.strip()):
        host = _host_of(f"//{literal.strip()}")
        if host and _EXPRESSION_MARK not in host:
            yield host


def _host_of(url: str) -> str:
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""


def _is_declared(host: str, step: Step) -> bool:
    declared = list(step.node_type.egress) if step.node_type else []
    for address in step.addresses():
        declared.extend(_hosts(address, bare=True))
    return any(host == one or (one.startswith("*.") and host.endswith(one[1:])) for one in declared)


def _chosen_by_data(text: Text) -> Iterator[Finding]:
    if _host_is_data(text):
        yield _at(text, "egress.data-chosen-host", "The host comes from another node's output.")


def _host_is_data(text: Text) -> bool:
    first = next(braces.spans(text.value), None)
    if first is None:
        return False
    start, end = first
    before = text.value[:start]
    in_host = "/" not in before.partition("://")[2] if "://" in before else "/" not in before
    return in_host and bool(_DATA.search(text.value[start:end]))


def _secrets_in(text: Text) -> tuple[str, ...]:
    return tuple(
        sorted({name for inside in text.expressions for name in SECRET_REFERENCE.findall(inside)})
    )


def _first_exit(start: str, onward: dict[str, set[str]], by_id: dict[str, Step]) -> str | None:
    seen, pending = {start}, [start]
    while pending:
        for following in sorted(onward[pending.pop()] - seen):
            seen.add(following)
            pending.append(following)
            if following in by_id and by_id[following].reaches_out:
                return following
    return None


def _at(text: Text, rule: str, detail: str) -> Finding:
    return RULES[rule].found(detail, node_id=text.node_id, path=text.path)
