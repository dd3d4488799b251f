"""Finds credentials in texts: detectors, patterns, telling field names, entropy; shows none."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from detect_secrets.plugins.artifactory import ArtifactoryDetector
from detect_secrets.plugins.aws import AWSKeyDetector
from detect_secrets.plugins.azure_storage_key import AzureStorageKeyDetector
from detect_secrets.plugins.base import BasePlugin
from detect_secrets.plugins.basic_auth import BasicAuthDetector
from detect_secrets.plugins.discord import DiscordBotTokenDetector
from detect_secrets.plugins.github_token import GitHubTokenDetector
from detect_secrets.plugins.gitlab_token import GitLabTokenDetector
from detect_secrets.plugins.jwt import JwtTokenDetector
from detect_secrets.plugins.mailchimp import MailchimpDetector
from detect_secrets.plugins.npm import NpmDetector
from detect_secrets.plugins.openai import OpenAIDetector
from detect_secrets.plugins.private_key import PrivateKeyDetector
from detect_secrets.plugins.pypi_token import PypiTokenDetector
from detect_secrets.plugins.sendgrid import SendGridDetector
from detect_secrets.plugins.slack import SlackDetector
from detect_secrets.plugins.square_oauth import SquareOAuthDetector
from detect_secrets.plugins.stripe import StripeDetector
from detect_secrets.plugins.twilio import TwilioKeyDetector

from apps.security_scan.scanner.findings import Finding
from apps.security_scan.scanner.patterns import PATTERNS, is_placeholder, names_a_secret
from apps.security_scan.scanner.rules import RULES
from apps.security_scan.scanner.subject import Text

# The named detectors only: entropy plugins fire on ordinary sentences, the keyword plugin on prose.
# Called one by one, so neither allow-list comments nor network verification can play a part.
_DETECTORS: tuple[BasePlugin, ...] = (
    ArtifactoryDetector(),
    AWSKeyDetector(),
    AzureStorageKeyDetector(),
    BasicAuthDetector(),
    DiscordBotTokenDetector(),
    GitHubTokenDetector(),
    GitLabTokenDetector(),
    JwtTokenDetector(),
    MailchimpDetector(),
    NpmDetector(),
    OpenAIDetector(),
    PrivateKeyDetector(),
    PypiTokenDetector(),
    SendGridDetector(),
    SlackDetector(),
    SquareOAuthDetector(),
    StripeDetector(),
    TwilioKeyDetector(),
)

# A text is read in overlapping windows: no pattern may take quadratic time on a hostile one.
WINDOW = 4096
OVERLAP = 512
ENTROPY_LENGTH = 32
_BASE64_BITS = 4.3
_HEX_BITS = 3.0
_CANDIDATE = re.compile(r"[A-Za-z0-9+/_=-]{32,512}")
_HEX = re.compile(r"[0-9a-f]{32,128}|[0-9A-F]{32,128}")
_UUID = re.compile(r"(?i)^[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}$")
_DIGEST_BEFORE = re.compile(r"(?i)(?:sha\d{1,3}|md5|digest|checksum|hash|etag|base64)\W{0,3}$")
_DIGEST_KEY = re.compile(r"(?i)digest|checksum|hash|sha\d|md5|etag|revision|commit|fingerprint")
_ASSIGNMENT = re.compile(
    r"""([A-Za-z_][\w-]{0,60})["']?\s{0,5}(?:=|:)\s{0,5}["']([^"'\n]{8,200})["']"""
)
_SCHEME = re.compile(r"(?i)^(?:bearer|basic|token)\s+")


@dataclass(frozen=True, kw_only=True)
class _Hit:
    value: str
    kind: str
    rule: str
    line: int


@dataclass(frozen=True, kw_only=True)
class _Window:
    """A stretch of a text that begins on line `line`."""

    text: str
    line: int

    def line_of(self, position: int) -> int:
        return self.line + self.text.count("\n", 0, max(position, 0))


def find_secrets(text: Text) -> Iterator[Finding]:
    """Findings of one text, one per credential; the surest source names it."""
    if not text.value or "$artifact" in text.path:
        return
    hits: list[_Hit] = []
    for hit in _hits(text):
        if not any(_repeats(hit, known) for known in hits):
            hits.append(hit)
    for hit in hits:
        yield RULES[hit.rule].found(
            f"{hit.kind}: {redact(hit.value)}, line {hit.line}.",
            node_id=text.node_id,
            path=_without(text.path, hit.value),
            line=hit.line,
        )


def _repeats(hit: _Hit, known: _Hit) -> bool:
    """Whether a surer source has said it; random text beside a known credential is part of it."""
    if hit.rule == "secret.high-entropy" and hit.line == known.line:
        return True
    return hit.value in known.value or known.value in hit.value


def redact(secret: str) -> str:
    """How a finding speaks of a secret: its length, and its public beginning when it is long."""
    shown = secret[:4] if len(secret) >= ENTROPY_LENGTH else ""
    return f"`{shown}…` ({len(secret)} characters)"


def _hits(text: Text) -> Iterator[_Hit]:
    windows = [
        window for source in (text.literal, *text.expressions) for window in _windows(source)
    ]
    for find in (_named, _patterned, _assigned):
        for window in windows:
            yield from find(window)
    yield from _by_field_name(text)
    for window in windows:
        yield from _by_entropy(window, text.key)


def _windows(source: str) -> Iterator[_Window]:
    """The text in overlapping stretches, so that no credential is cut in two."""
    line = 1
    for start in range(0, max(len(source) - OVERLAP, 1), WINDOW - OVERLAP):
        yield _Window(text=source[start : start + WINDOW], line=line)
        line += source.count("\n", start, start + WINDOW - OVERLAP)


def _named(window: _Window) -> Iterator[_Hit]:
    for detector in _DETECTORS:
        for value in detector.analyze_string(window.text):
            if value and not is_placeholder(value):
                line = window.line_of(window.text.find(value))
                kind = str(detector.secret_type)
                yield _Hit(value=value, kind=kind, rule="secret.token", line=line)


def _patterned(window: _Window) -> Iterator[_Hit]:
    for pattern in PATTERNS:
        for match in pattern.expression.finditer(window.text):
            value = match.groupdict().get("secret") or match.group()
            if not is_placeholder(value) and len(set(value)) > 6:
                line = window.line_of(match.start())
                yield _Hit(value=value, kind=pattern.kind, rule="secret.token", line=line)


def _assigned(window: _Window) -> Iterator[_Hit]:
    """`api_key = "…"` inside code or a configuration file pasted into a text."""
    for match in _ASSIGNMENT.finditer(window.text):
        name, value = match.groups()
        if names_a_secret(name) and _could_be_secret(value):
            line = window.line_of(match.start())
            kind = f"Value of `{name}`"
            yield _Hit(value=value, kind=kind, rule="secret.named-field", line=line)


def _by_field_name(text: Text) -> Iterator[_Hit]:
    if not names_a_secret(text.key) or text.expressions:
        return
    value = _SCHEME.sub("", text.value.strip())
    secret_word = re.search(r"(?i)pass|pwd", text.key)
    if _could_be_secret(value) or (secret_word and _is_one_word(value)):
        yield _Hit(value=value, kind=f"Value of `{text.key}`", rule="secret.named-field", line=1)


def _by_entropy(window: _Window, key: str) -> Iterator[_Hit]:
    if _DIGEST_KEY.search(key):
        return
    for match in _CANDIDATE.finditer(window.text):
        value = match.group().strip("=-_/")
        before = window.text[max(0, match.start() - 16) : match.start()]
        if len(value) < ENTROPY_LENGTH or _UUID.match(value) or _DIGEST_BEFORE.search(before):
            continue
        if _HEX.fullmatch(value):
            random = entropy(value) >= _HEX_BITS
        else:
            random = _mixes_classes(value) and entropy(value) >= _BASE64_BITS
        if random:
            line = window.line_of(match.start())
            yield _Hit(value=value, kind="Random text", rule="secret.high-entropy", line=line)


def entropy(value: str) -> float:
    """Shannon entropy in bits per character."""
    length = len(value)
    return -sum(n / length * math.log2(n / length) for n in Counter(value).values())


def _could_be_secret(value: str) -> bool:
    """Without spaces, long enough, mixing letters with digits or signs, and no placeholder."""
    return (
        _is_one_word(value)
        and len(value) >= 8
        and not value.isalpha()
        and not value.isdigit()
        and re.fullmatch(r"[a-z]+(?:[._-][a-z]+)*", value) is None
    )


def _is_one_word(value: str) -> bool:
    return len(value) >= 4 and not re.search(r"\s", value) and not is_placeholder(value)


def _mixes_classes(value: str) -> bool:
    classes = (str.isupper, str.islower, str.isdigit)
    return all(any(test(char) for char in value) for test in classes)


def _without(path: str, secret: str) -> str:
    return path.replace(secret, "…")
