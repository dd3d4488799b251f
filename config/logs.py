"""Structured logs: one line per event with request, tenant and run, and never a secret."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable, MutableMapping
from typing import Any, Final

import structlog
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from structlog.contextvars import bound_contextvars
from structlog.typing import Processor

from apps.kit.ids import uuid7
from apps.tenancy import scope
from apps.tenancy.errors import OutsideScope

REQUEST_ID_HEADER: Final = "X-Request-ID"
GIVEN_ID: Final = re.compile(r"[A-Za-z0-9_.-]{8,64}")
HIDDEN: Final = "[hidden]"
SECRET_NAME: Final = re.compile(
    r"(password|secret|token|authorization|cookie|api_?key|pepper)", re.IGNORECASE
)
# API keys of ours, logins inside URLs.
SECRET_TEXT: Final = re.compile(r"nsx_[A-Za-z0-9_-]{8,}|(?<=://)[^/\s:@]*:[^/\s@]+(?=@)")
QUIET_PATHS: Final = frozenset({"/healthz", "/readyz"})

Event = MutableMapping[str, Any]

logger = structlog.stdlib.get_logger("nstarx.request")


def formatter(*, json: bool) -> logging.Formatter:
    """What LOGGING uses: JSON for machines, columns for a developer's terminal."""
    before: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.ExtraAdder(allow=("request_id", "tenant", "run", "step", "worker")),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        add_tenant,
        hide_secrets,
    ]
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *before,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,
    )
    last: list[Processor] = (
        [structlog.processors.format_exc_info, hide_secrets, structlog.processors.JSONRenderer()]
        if json
        else [structlog.dev.ConsoleRenderer(colors=False)]
    )
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=before,
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last],
    )


def add_tenant(_: Any, __: str, event: Event) -> Event:
    """The tenant of the scope in force, whoever logs."""
    if "tenant" not in event:
        try:
            tenant_id = scope.current().tenant_id
        except OutsideScope:
            return event
        if tenant_id is not None:
            event["tenant"] = str(tenant_id)
    return event


def hide_secrets(_: Any, __: str, event: Event) -> Event:
    """Values with a telling name, and what looks like a credential inside any text."""
    for name, value in event.items():
        if name != "event" and SECRET_NAME.search(name):
            event[name] = HIDDEN
        elif isinstance(value, str):
            event[name] = SECRET_TEXT.sub(HIDDEN, value)
    return event


class RequestLog:
    """Gives every request an id, in its logs and its answer, and one line when it is answered."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Answer, and say so."""
        request_id = request_id_of(request)
        since = time.perf_counter()
        request.request_id = request_id  # type: ignore[attr-defined]
        with bound_contextvars(request_id=request_id):
            response = self._get_response(request)
            response.headers[REQUEST_ID_HEADER] = request_id
            if request.path not in QUIET_PATHS:
                line_of(request, response, milliseconds=(time.perf_counter() - since) * 1000)
        return response


def request_id_of(request: HttpRequest) -> str:
    """The caller's own, if it is one."""
    given = request.headers.get(REQUEST_ID_HEADER, "")
    return given if GIVEN_ID.fullmatch(given) else uuid7().hex


def line_of(request: HttpRequest, response: HttpResponseBase, *, milliseconds: float) -> None:
    """Say what was answered to whom."""
    actor = getattr(request, "actor", None)
    known = {
        "tenant": getattr(actor, "tenant_id", None),
        "user": getattr(actor, "user_id", None),
        "key": getattr(actor, "api_key_id", None),
    }
    logger.info(
        "request",
        method=request.method,
        path=request.path,
        status=response.status_code,
        ms=round(milliseconds, 1),
        **{name: str(value) for name, value in known.items() if value is not None},
    )
