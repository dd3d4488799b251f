"""Where mail goes: NSTARX_EMAIL_URL as Django's settings, or the log when there is none."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from config.env import EnvironmentInvalid

TIMEOUT_SECONDS = 10
SUBMISSION_PORT = 587
TLS_PORT = 465


def settings_of(url: str | None) -> dict[str, Any]:
    """`smtp://user:password@host:587?from=address` (STARTTLS), `smtps://…:465`, or None: print."""
    if not url:
        return {"EMAIL_BACKEND": "django.core.mail.backends.console.EmailBackend"}
    parts = urlsplit(url)
    if parts.scheme not in {"smtp", "smtps"} or not parts.hostname:
        raise EnvironmentInvalid(
            "NSTARX_EMAIL_URL is not a mail server: write "
            "smtp://user:password@host:587?from=workflows@example.com, or smtps:// for TLS."
        )
    is_tls = parts.scheme == "smtps"
    sender = parse_qs(parts.query).get("from", [""])[0]
    return {
        "EMAIL_BACKEND": "django.core.mail.backends.smtp.EmailBackend",
        "EMAIL_HOST": parts.hostname,
        "EMAIL_PORT": parts.port or (TLS_PORT if is_tls else SUBMISSION_PORT),
        "EMAIL_HOST_USER": unquote(parts.username or ""),
        "EMAIL_HOST_PASSWORD": unquote(parts.password or ""),
        "EMAIL_USE_SSL": is_tls,
        "EMAIL_USE_TLS": not is_tls and bool(parts.username),
        "EMAIL_TIMEOUT": TIMEOUT_SECONDS,
        **({"DEFAULT_FROM_EMAIL": sender} if sender else {}),
    }
