"""The REST API's own way through Django: programs have no session, no cookie and no form.

What every answer has stays: an id, a line in the log, TLS and its headers, the check of the host.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final, cast

from django.core.exceptions import DisallowedHost, RequestAborted
from django.core.handlers.asgi import ASGIHandler, get_script_prefix
from django.core.handlers.exception import convert_exception_to_response
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.middleware.security import SecurityMiddleware
from django.urls import set_script_prefix
from structlog.contextvars import bound_contextvars

from config.logs import REQUEST_ID_HEADER, line_of, request_id_of

PREFIX: Final = "/api/v1/"
Asgi = Callable[[Any, Any, Any], Awaitable[None]]


class ApiHandler(ASGIHandler):
    """Django without the middleware of pages, its signals, and a thread for each request.

    What a call does at the database runs in threads that stay and give their connection back.
    """

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer; stop where the caller has hung up."""
        try:
            body = await self.read_body(receive)
        except RequestAborted:
            return
        with body:
            set_script_prefix(get_script_prefix(scope))
            request, refused = self.create_request(scope, body)
            if request is None:
                await self.send_response(cast(HttpResponse, refused), send)
                return
            answering = asyncio.create_task(self._answer(request, send))
            leaving = asyncio.create_task(self.listen_for_disconnect(receive))
            await asyncio.wait((answering, leaving), return_when=asyncio.FIRST_COMPLETED)
            for task in (leaving, answering):
                task.cancel()
            ended, _ = await asyncio.gather(answering, leaving, return_exceptions=True)
            if isinstance(ended, Exception):
                raise ended

    def load_middleware(self, is_async: bool = False) -> None:  # noqa: FBT001, FBT002 - Django's
        """None but ours; the views are Django's own, found by the URLconf."""
        self._view_middleware: list[Any] = []
        self._template_response_middleware: list[Any] = []
        self._exception_middleware: list[Any] = []
        inner: Any = self._get_response_async  # type: ignore[attr-defined]
        self._view: Any = convert_exception_to_response(inner)
        self._security = SecurityMiddleware(lambda _: HttpResponse())

    async def _answer(self, request: HttpRequest, send: Any) -> None:
        """What the first middleware do for pages; the line in the log delays nobody."""
        since = time.perf_counter()
        request_id = request_id_of(request)
        request.request_id = request_id  # type: ignore[attr-defined]
        with bound_contextvars(request_id=request_id):
            response: Any = self._refusal(request) or await self._view(request)
            self._security.process_response(request, response)
            response.headers[REQUEST_ID_HEADER] = request_id
            milliseconds = (time.perf_counter() - since) * 1000
            await self.send_response(response, send)
            line_of(request, response, milliseconds=milliseconds)

    def _refusal(self, request: HttpRequest) -> HttpResponseBase | None:
        try:
            request.get_host()
        except DisallowedHost:
            return HttpResponse("This host is not served here.", "text/plain", status=400)
        return self._security.process_request(request)


def api_first(api: Asgi, pages: Asgi) -> Asgi:
    """One application of both."""

    async def application(scope: Any, receive: Any, send: Any) -> None:
        chosen = api if scope["path"].startswith(PREFIX) else pages
        await chosen(scope, receive, send)

    return application
