"""How a refusal reaches a person: beside the field at fault, or as a page with the right status."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from django.forms import BaseForm
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render

from apps.kit.errors import ErrorCode, NotFound, Refusal

STATUSES: Final = {
    ErrorCode.FORBIDDEN: 403,
    ErrorCode.UNAUTHENTICATED: 403,
    ErrorCode.NOT_FOUND: 404,
    ErrorCode.CONFLICT: 409,
    ErrorCode.EXECUTION_ENDED: 409,
    ErrorCode.STALE_REVISION: 409,
    ErrorCode.ALREADY_EXISTS: 409,
    ErrorCode.IDEMPOTENCY_MISMATCH: 409,
    ErrorCode.QUOTA_EXCEEDED: 409,
    ErrorCode.RATE_LIMITED: 429,
}


def attach(form: BaseForm, refusal: Refusal, *, prefix: str = "") -> None:
    """Put a refusal where its path points in the form, else above the form.

    What does not exist is a page of its own: NotFound is raised again as a 404.
    """
    if isinstance(refusal, NotFound):
        raise Http404 from refusal
    for part in refusal.parts:
        attach(form, part, prefix=prefix)
    if refusal.parts:
        return
    for name in reversed(refusal.path):
        if f"{prefix}{name}" in form.fields:
            form.add_error(f"{prefix}{name}", refusal.message)
            return
    form.add_error(None, refusal.message)


def status_of(*forms: BaseForm) -> int:
    """200 for a form to fill in, 422 for one that comes back with mistakes."""
    return 422 if any(form.is_bound and form.errors for form in forms) else 200


class RefusalPages:
    """Middleware: a Refusal that no view caught becomes a page that says how to mend it."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Pass the request on; only exceptions concern this middleware."""
        return self.get_response(request)

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        """The page for a refusal; any other exception goes its way."""
        if not isinstance(exception, Refusal):
            return None
        status = STATUSES.get(exception.code, 400)
        if status == 404:
            # The very page a random address gets: nothing tells a foreign id from no id.
            return render(request, "404.html", status=404)
        template = "403.html" if status == 403 else "refused.html"
        context = {"message": exception.message, "code": exception.code.value}
        return render(request, template, context, status=status)
