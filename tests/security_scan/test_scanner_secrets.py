"""The scanner on credentials: each kind, wherever it stands, never shown; no alarm on prose."""

from __future__ import annotations

import json
import string

import pytest

from apps.security_scan.scanner import Finding, Severity, Verdict, scan
from tests.security_scan.declared import catalogue
from tests.security_scan.documents import document, node, python

CATALOGUE = catalogue()
MIXED = "aB3dE5fG7hI9jK1lM3nO5pQ7rS9tU1vW3xY5zA7bC9dE1fG3hI5jK7lM9nO1pQ3rS5tU7vW9"
HEX = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"

# Assembled here, so that no scanner of this repository takes them for real ones.
TOKENS = {
    "aws-access-key": "AKIA" + "Q3EGVZQ7PLM4KX2D",
    "github": "ghp_" + MIXED[:36],
    "github-fine-grained": "github_pat_" + MIXED[:22] + "_" + MIXED[:59],
    "gitlab": "glpat-" + MIXED[:20],
    "anthropic": "sk-ant-api03-" + MIXED[:60],
    "openai-project": "sk-proj-" + MIXED[:48],
    "google-api": "AIza" + MIXED[:35],
    "npm": "npm_" + MIXED[:36],
    "hugging-face": "hf_" + MIXED[:34],
    "slack": "xoxb-" + "123456789012-123456789012-" + MIXED[:24],
    "slack-webhook": "https://hooks.slack.com/services/" + "T0A1B2C3D/B0A1B2C3D/" + MIXED[:24],
    "discord-webhook": "https://discord.com/api/webhooks/" + "123456789012345678/" + MIXED[:68],
    "stripe": "sk_live_" + MIXED[:24],
    "sendgrid": "SG." + MIXED[:22] + "." + MIXED[:43],
    "azure-sas": "https://a.blob.core.windows.net/c?sv=2022&sig=" + MIXED[:43] + "%3D",
    "databricks": "dapi" + HEX[:32],
    "vault": "hvs." + MIXED[:30],
    "pypi": "pypi-AgEIcHlwaS5vcmc" + MIXED,
    "private-key": "-----BEGIN RSA PRIVATE " + "KEY-----",
    "database": "postgresql://shop:" + "Tr0ub4dor" + "@db.example.com/shop",
    "basic-auth": "https://robot:" + "Tr0ub4dor3" + "@api.example.com/v1",
    "jwt": "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9." + "eyJzdWIiOiIxMjM0NTY3ODkwIn0."
    + "dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U",
    "telegram": "123456789:" + MIXED[:35],
    "twilio": "SK" + HEX[:32],
    "nstarx": "nsx_acme_" + MIXED[:12] + "_" + MIXED[:40],
}  # fmt: skip


def findings(text: str) -> tuple[Finding, ...]:
    return scan(document(node("transform.template", text=text)), CATALOGUE).findings


@pytest.mark.parametrize("kind", sorted(TOKENS))
def test_each_kind_of_token_is_one_critical_finding(kind: str) -> None:
    found = [one for one in findings(TOKENS[kind]) if one.rule.startswith("secret.")]
    assert [(one.rule, one.severity) for one in found] == [("secret.token", Severity.CRITICAL)]


@pytest.mark.parametrize("kind", sorted(TOKENS))
def test_no_finding_shows_the_token(kind: str) -> None:
    secret = TOKENS[kind]
    body = secret.rpartition("/")[2][-12:]
    for found in findings(f"The key is {secret} indeed"):
        assert body not in json.dumps([found.detail, found.title, found.path, found.remediation])


def test_a_token_is_found_wherever_it_stands() -> None:
    token = TOKENS["github"]
    places = {
        "description": document() | {"description": f"use {token}"},
        "documentation": document() | {"metadata": {"documentation": f"use {token}"}},
        "variables": document(variables={"x": token}),
        "key": document(variables={token: "x"}),
        "nested": document(
            node("integration.http", url="https://a.example", body=[{"a": [token]}])
        ),
        "notes": document(node("code.python", code="x = 1") | {"notes": token}),
        "expression": document(node("transform.template", text="{{ '" + token + "' }}")),
        "condition": document() | {"connections": [{"id": "c", "condition": f"x == '{token}'"}]},
    }
    verdicts = {place: scan(one, CATALOGUE).verdict for place, one in places.items()}
    assert verdicts == dict.fromkeys(places, Verdict.FAILED)


def test_a_token_behind_a_long_line_is_found() -> None:
    assert findings("word " * 20_000 + TOKENS["github"] + " word" * 20_000)


def test_the_line_of_a_token_is_named() -> None:
    text = "first\n" * 1_500 + TOKENS["npm"] + "\nlast"
    assert [one.line for one in findings(text)] == [1_501]


def test_an_allow_list_comment_does_not_silence_the_scan() -> None:
    code = f"token = '{TOKENS['github']}'  # pragma: allowlist secret"
    assert scan(python(code), CATALOGUE).verdict is Verdict.FAILED


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("password", "hunter2!"),
        ("apiKey", "k3y-of-the-house"),
        ("client_secret", "S3cr3t/Value"),
        ("Authorization", "Bearer abc123def456"),
        ("db_password", "correcthorse"),
    ],
)
def test_plain_text_in_a_field_for_a_secret_blocks(key: str, value: str) -> None:
    report = scan(document(variables={key: value}), CATALOGUE)
    assert [one.rule for one in report.findings] == ["secret.named-field"]
    assert report.verdict is Verdict.FAILED
    assert value not in report.findings[0].detail


def test_a_header_as_a_pair_of_name_and_value_is_read() -> None:
    pair = [{"name": "X-Api-Key", "value": "k3y-of-the-house"}]
    report = scan(document(node("integration.http", url="https://a.example", body=pair)), CATALOGUE)
    assert [one.rule for one in report.findings] == ["secret.named-field"]


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("password", "{{ secrets.DB_PASSWORD }}"),
        ("apiKey", "<your key>"),
        ("token", "changeme"),
        ("next_token", "a1b2c3d4e5f6"),
        ("max_tokens", "1024"),
        ("tokenizer", "bert-base-uncased"),
        ("secret_name", "DB_PASSWORD_2"),
        ("password", "xxxxxxxx"),
        ("key", "column_a"),
        ("primary_key", "id_1"),
    ],
)
def test_references_placeholders_and_other_tokens_are_fine(key: str, value: str) -> None:
    assert scan(document(variables={key: value}), CATALOGUE).findings == ()


def test_random_text_only_warns() -> None:
    (found,) = findings("value " + MIXED[:40])
    assert (found.rule, found.severity) == ("secret.high-entropy", Severity.MEDIUM)


@pytest.mark.parametrize(
    "text",
    [
        "The quick brown fox jumps over the lazy dog, and so does the sleepy cat next door.",
        "sha256:" + HEX,
        "0190f5b4-7c1e-7a63-9c3f-5d2e8b1a4c6d",
        "https://example.com/a-very-long-path/with-many-readable-words/in-it/index.html",
        "customer_lifetime_value_by_acquisition_channel_and_month",
        "CustomerLifetimeValueByAcquisitionChannel",
        string.ascii_lowercase * 2,
        "=" * 80,
    ],
)
def test_ordinary_long_text_is_fine(text: str) -> None:
    assert findings(text) == ()


def test_an_artifact_digest_is_fine() -> None:
    reference = {"$artifact": "sha256:" + HEX, "mediaType": "text/csv", "bytes": 3}
    assert scan(document(variables={"table": reference}), CATALOGUE).findings == ()


def test_one_credential_in_code_is_one_finding() -> None:
    report = scan(python(f"api_token = '{TOKENS['github']}'"), CATALOGUE)
    assert [(one.rule, one.line) for one in report.findings] == [("secret.token", 1)]
