"""Template tags and filters of every page: how a time, a size, a state or a document is shown."""

import json
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Final

import nh3
from django import template
from django.http import HttpRequest
from django.templatetags.static import static
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString, mark_safe
from markdown_it import MarkdownIt

register = template.Library()

# One decision for the whole product; a new enum value without a tone is shown neutral.
_TONE_WORDS: Final[Mapping[str, str]] = {
    "success": "SUCCEEDED PASSED APPROVED PUBLISHED ACTIVE VALID CACHED HEALTHY ADDED",
    "danger": "FAILED REJECTED INVALID TIMED_OUT CRITICAL HIGH REVOKED REMOVED ERROR",
    "warning": "WARNINGS MEDIUM PARTIAL RETRY_WAIT CANCELING IN_DOUBT YANKED SUSPENDED PENDING"
    " AWAITING_APPROVAL PENDING_APPROVAL CHANGES_REQUESTED MODIFIED WARNING",
    "info is-active": "RUNNING SCANNING COMPENSATING INSTALLING UPGRADING",
    "info": "QUEUED READY WAITING PAUSED UPLOADED LOW IN_REVIEW",
}
TONES: Final[Mapping[str, str]] = {
    word: tone_name for tone_name, listed in _TONE_WORDS.items() for word in listed.split()
}
_WORDS: Final[Mapping[str, str]] = {
    "ML": "Machine learning",
    "RAG": "RAG",
    "DATA_PIPELINE": "Data pipeline",
    "API": "API",
    "MCP": "MCP",
    "BLOCKED": "Not started",
    "API_KEYS": "API keys",
    "API_POINTS_PER_HOUR": "API points per hour",
    "EVENT": "Another run",
    "RUN_STEP": "Step of a run",
    "NO_WORKER": "No worker for it",
    "IN_LINE": "In line",
    "WORKFLOW_CONCURRENCY": "Enough runs of this workflow",
    "WORKFLOW_RATE": "Enough starts of this workflow",
    "CONCURRENCY_KEY": "Its key is taken",
    "TENANT_CEILING": "The plan's bound is reached",
    "TENANT_RATE": "Slowed down by an operator",
}
_ACRONYMS: Final = frozenset(["API", "CPU", "GPU", "HTTP", "ID", "JSON", "SLA", "SQL", "URL"])
_MARKDOWN: Final = MarkdownIt("commonmark", {"html": False, "linkify": False}).enable(
    ["table", "strikethrough"]
)
_ALLOWED_TAGS: Final = {
    *("p", "br", "hr", "em", "strong", "del", "code", "pre", "blockquote", "ul", "ol", "li", "a"),
    *("h3", "h4", "h5", "h6", "table", "thead", "tbody", "tr", "th", "td"),
}
_INLINE_TAGS: Final = {"em", "strong", "code", "del", "br"}


def word_of(value: object) -> str:
    """The constant's own name: enum members, text choices and plain strings alike."""
    return str(getattr(value, "value", value) or "").upper()


@register.filter
def tone(value: object) -> str:
    """The tone of a state (`success`, `danger`, …), empty when it has none."""
    return TONES.get(word_of(value), "")


@register.filter
def words(value: object) -> str:
    """A constant in words: `RETRY_WAIT` becomes `Retry wait`."""
    word = word_of(value)
    if word in _WORDS:
        return _WORDS[word]
    parts = [part if part in _ACRONYMS else part.lower() for part in word.split("_")]
    text = " ".join(parts)
    return text[:1].upper() + text[1:]


@register.simple_tag
def pill(value: object, tone_name: str = "", *, of: str = "") -> SafeString:
    """A state as a pill, of something named if need be; its colour comes from the state."""
    if not word_of(value):
        return mark_safe("")
    chosen = tone_name or tone(value)
    classes = f"pill is-{chosen}" if chosen else "pill"
    text = f"{of} {words(value).lower()}" if of else words(value)
    return format_html('<span class="{}">{}</span>', classes, text)


@register.simple_tag
def icon(name: str, classes: str = "") -> SafeString:
    """A picture from the sprite, hidden from screen readers: words beside it carry the meaning."""
    return format_html(
        '<svg class="icon {}" aria-hidden="true" focusable="false"><use href="{}#{}"/></svg>',
        classes,
        static("nstarx/icons.svg"),
        name,
    )


@register.filter
def duration(value: object) -> str:
    """Milliseconds or a timedelta in the two largest units."""
    if isinstance(value, timedelta):
        value = value.total_seconds() * 1000
    if not isinstance(value, int | float):
        return "–"
    if value < 1000:
        return f"{value:.0f} ms"
    seconds = value / 1000
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(int(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours < 48 else f"{hours // 24} d {hours % 24} h"


@register.filter
def size(value: object) -> str:
    """Bytes in binary units."""
    if not isinstance(value, int):
        return "–"
    amount = float(value)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if amount < 1024:
            return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1024
    return f"{amount:.1f} TiB"


@register.filter
def pairs(value: Mapping[str, object]) -> list[tuple[str, object]]:
    """Names and values; `.items` in a template would be the value of a name `items`."""
    return list(value.items())


@register.filter
def ago(value: object) -> SafeString:
    """How long ago, as a <time> whose title is the exact instant in UTC."""
    if not isinstance(value, datetime):
        return mark_safe('<span class="subtle">never</span>')
    seconds = (timezone.now() - value).total_seconds()
    text = _distance(abs(seconds))
    phrase = "just now" if text == "" else f"{text} ago" if seconds >= 0 else f"in {text}"
    exact = value.astimezone(timezone.get_default_timezone()).strftime("%Y-%m-%d %H:%M:%S %Z")
    return format_html('<time datetime="{}" title="{}">{}</time>', value.isoformat(), exact, phrase)


def _distance(seconds: float) -> str:
    for limit, length, unit in (
        (45, 0, ""),
        (3600, 60, "minute"),
        (86400, 3600, "hour"),
        (86400 * 45, 86400, "day"),
        (86400 * 548, 86400 * 30, "month"),
    ):
        if seconds < limit:
            if not unit:
                return ""
            count = max(1, round(seconds / length))
            return f"{count} {unit}{'' if count == 1 else 's'}"
    years = max(1, round(seconds / (86400 * 365)))
    return f"{years} year{'' if years == 1 else 's'}"


@register.filter
def pretty(value: object) -> str:
    """Any value as indented JSON."""
    return json.dumps(value, indent=2, ensure_ascii=False, default=str)


@register.filter
def compact(value: object) -> str:
    """Any value as one line of JSON; a string stays itself."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


@register.filter
def count(value: object) -> str:
    """A whole number in groups of three digits."""
    return f"{value:,}" if isinstance(value, int) else str(value)


@register.filter
def tail(value: object) -> str:
    """The last twelve digits of an id: what tells two of them apart."""
    return str(value or "")[-12:]


@register.filter
def reference(value: object) -> SafeString:
    """`ListingVersion:<id>` as `Listing version` and the end of the id; the whole is its title."""
    kind, _, key = str(value or "").partition(":")
    spaced = "".join(f" {one.lower()}" if one.isupper() else one for one in kind).strip()
    if not key:
        return format_html('<span class="wrap">{}</span>', kind)
    return format_html(
        '<span title="{}">{} <span class="mono tiny subtle nowrap">{}</span></span>',
        value,
        spaced.capitalize(),
        key if len(key) <= 16 else f"…{key[-12:]}",
    )


@register.filter
def short_hash(value: object) -> str:
    """The first twelve digits of a digest."""
    return str(value or "").removeprefix("sha256:")[:12]


@register.filter
def initials(value: object) -> str:
    """One or two letters for an avatar."""
    parts = [part for part in str(value or "?").replace("@", " ").split() if part]
    return "".join(part[0] for part in parts[:2]) or "?"


@register.filter
def money(minor: object, currency: str = "USD") -> str:
    """Integer minor units with their currency."""
    return f"{minor / 100:,.2f} {currency}" if isinstance(minor, int) else "–"


@register.filter
def item(mapping: object, key: object) -> object:
    """A value of a mapping by a key that is itself a variable."""
    return mapping.get(key) if isinstance(mapping, Mapping) else None


@register.filter
def markdown(value: object) -> SafeString:
    """CommonMark as sanitised HTML; raw HTML, images and scripts never pass.

    Headings go below the page's own two levels, so that an outline of the page stays one.
    """
    tokens = _MARKDOWN.parse(str(value or ""))
    for token in tokens:
        if token.type in {"heading_open", "heading_close"}:
            token.tag = f"h{min(6, int(token.tag[1]) + 2)}"
    html = _MARKDOWN.renderer.render(tokens, _MARKDOWN.options, {})
    return _clean(str(html), tags=_ALLOWED_TAGS)


@register.filter
def inline_markdown(value: object) -> SafeString:
    """One sentence of CommonMark: emphasis and code, no blocks and no links."""
    return _clean(_MARKDOWN.renderInline(str(value or "")), tags=_INLINE_TAGS)


def _clean(html: str, *, tags: set[str]) -> SafeString:
    clean = nh3.clean(html, tags=tags, attributes={"a": {"href"}}, link_rel="nofollow noopener")
    return mark_safe(clean)  # noqa: S308 - nh3 has just cleaned it


@register.inclusion_tag("components/meter.html")
def meter(used: object, limit: object) -> dict[str, object]:
    """A bar of what is used of a limit; without a limit there is no bar."""
    if not isinstance(used, int) or not isinstance(limit, int) or limit <= 0:
        return {"share": None}
    share = min(100.0, 100 * used / limit)
    shade = "danger" if share >= 100 else "warning" if share >= 80 else ""
    return {"share": f"{share:.1f}", "shade": shade, "used": used, "limit": limit}


@register.simple_tag(takes_context=True)
def here(context: template.Context, *prefixes: str) -> SafeString:
    """`aria-current="page"` when the request's path starts with one of the prefixes."""
    request = context.get("request")
    if isinstance(request, HttpRequest) and any(p and request.path.startswith(p) for p in prefixes):
        return mark_safe(' aria-current="page"')
    return mark_safe("")
