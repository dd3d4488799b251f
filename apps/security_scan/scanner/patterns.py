"""Shapes of credentials with a recognisable form, beyond those detect-secrets knows."""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Pattern:
    """One kind of credential; group `secret`, where present, is the part that must stay hidden."""

    kind: str
    expression: re.Pattern[str]


def _pattern(kind: str, expression: str) -> Pattern:
    return Pattern(kind, re.compile(expression))


_START = r"(?<![A-Za-z0-9_-])"
PATTERNS = (
    _pattern("GitHub token", _START + r"gh[pousr]_[A-Za-z0-9]{36,255}"),
    _pattern("GitHub fine-grained token", _START + r"github_pat_[A-Za-z0-9_]{40,255}"),
    _pattern("Anthropic API key", _START + r"sk-ant-[a-z0-9]{2,12}-[A-Za-z0-9_-]{20,200}"),
    _pattern("OpenAI API key", _START + r"sk-(?:proj|svcacct|admin)-[A-Za-z0-9_-]{20,200}"),
    _pattern("Google API key", _START + r"AIza[0-9A-Za-z_-]{35}"),
    _pattern("Google OAuth client secret", _START + r"GOCSPX-[A-Za-z0-9_-]{28}"),
    _pattern("Telegram bot token", r"(?<!\d)\d{8,10}:[0-9A-Za-z_-]{35}(?![0-9A-Za-z_-])"),
    _pattern("npm token", _START + r"npm_[A-Za-z0-9]{36}"),
    _pattern("Hugging Face token", _START + r"hf_[A-Za-z0-9]{30,60}"),
    _pattern(
        "Discord webhook",
        r"https://(?:\w+\.)?discord(?:app)?\.com/api/webhooks/\d{10,25}/(?P<secret>[\w-]{40,100})",
    ),
    _pattern(
        "Slack webhook",
        r"https://hooks\.slack\.com/(?:services|workflows|triggers)/(?P<secret>[\w/]{20,100})",
    ),
    _pattern("Azure shared access signature", r"[?&]sig=(?P<secret>[A-Za-z0-9%+/=]{40,120})"),
    _pattern("Databricks token", _START + r"dapi[a-f0-9]{32}"),
    _pattern("DigitalOcean token", _START + r"do[opr]_v1_[a-f0-9]{64}"),
    _pattern("Shopify token", _START + r"shp(?:at|ca|pa|ss)_[a-fA-F0-9]{32}"),
    _pattern("Linear API key", _START + r"lin_api_[A-Za-z0-9]{40}"),
    _pattern("Notion token", _START + r"(?:secret_|ntn_)[A-Za-z0-9]{43,60}"),
    _pattern("Vault token", _START + r"hv[sbr]\.[A-Za-z0-9_-]{24,200}"),
    _pattern("Webhook signing secret", _START + r"whsec_[A-Za-z0-9+/=]{24,100}"),
    _pattern("Groq API key", _START + r"gsk_[A-Za-z0-9]{40,60}"),
    _pattern("Pinecone API key", _START + r"pcsk_[A-Za-z0-9_]{40,100}"),
    _pattern("NStarX API key", _START + r"nsx_[A-Za-z0-9-]{1,60}_[A-Za-z0-9-]{1,60}_[\w-]{20,200}"),
    _pattern(
        "AWS secret access key",
        r"(?i)aws_?secret_?(?:access_?)?key[\"']?\s{0,5}[:=]\s{0,5}[\"']?(?P<secret>[A-Za-z0-9/+]{40})",
    ),
    _pattern(
        "Database password in an address",
        r"(?i)\b(?:postgres(?:ql)?|mysql|mariadb|mongodb|redis|rediss|amqps?|mssql|clickhouse)"
        r"(?:\+\w{1,20})?://[^:@/\s]{0,100}:(?P<secret>[^@/\s]{3,200})@",
    ),
)

SENSITIVE_WORDS = frozenset(
    {"password", "passwd", "pwd", "passphrase", "secret", "apikey", "credential", "credentials",
     "authorization", "privatekey", "accesskey", "secretkey", "signingkey", "token"}
)  # fmt: skip
_SENSITIVE_PAIRS = frozenset(
    {("api", "key"), ("access", "key"), ("private", "key"), ("secret", "key"), ("signing", "key"),
     ("encryption", "key"), ("account", "key"), ("auth", "key"), ("service", "key"),
     ("connection", "string")}
)  # fmt: skip
# Words that hold no credential although they end in "token": tokenisation, paging, markup.
_NOT_CREDENTIALS = frozenset(
    {"next", "page", "continuation", "stop", "start", "pad", "mask", "eos", "bos", "unk", "max",
     "min", "special", "sync", "csrf"}
)  # fmt: skip
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
_PLACEHOLDER = re.compile(
    r"(?i)^(?:<.*>|\$\{.*\}|\$[A-Z_]+|%\w+%|\[.*\]|x{3,}.*|\*+|\.+|-+|your[\W_].*|my[\W_].*|"
    r"(?:change|replace)[\W_]?me.*|example.*|placeholder.*|dummy.*|sample.*|todo.*|"
    r"none|null|true|false|string|str|text|password|secret|token|api[\W_]?key|bearer|basic)$"
)


def names_a_secret(key: str) -> bool:
    """Whether a field of this name usually holds a credential."""
    words = [word.lower() for word in _WORD.findall(key)]
    if not words:
        return False
    if words[-1] == "token" and len(words) > 1 and words[-2] in _NOT_CREDENTIALS:
        return False
    return words[-1] in SENSITIVE_WORDS or tuple(words[-2:]) in _SENSITIVE_PAIRS


def is_placeholder(value: str) -> bool:
    """Whether a text plainly stands for a credential instead of being one."""
    stripped = value.strip()
    return bool(_PLACEHOLDER.match(stripped)) or len(set(stripped)) <= 3
