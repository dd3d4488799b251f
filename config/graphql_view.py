"""POST /graphql: who asks, what may come in, and the explorer for people who are signed in."""

from __future__ import annotations

import logging
from typing import Any

from cross_web import HTTPException
from django.db import DatabaseError
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.middleware.csrf import CsrfViewMiddleware
from django.utils.decorators import method_decorator
from django.views.decorators.csrf import csrf_exempt
from strawberry.django.views import GraphQLView, TemporalHttpResponse
from strawberry.http import GraphQLHTTPResponse
from strawberry.types import ExecutionResult
from structlog.contextvars import get_contextvars

from apps.kit import strict_json
from apps.kit.errors import ErrorCode, Refusal, Unauthenticated
from apps.kit.graphql.masking import INTERNAL
from apps.kit.ids import uuid7
from apps.tenancy import scope
from apps.tenancy.actors import Actor
from apps.tenancy.doors import actor_of_request, signed_in
from apps.tenancy.doors.requests import bearer_of
from apps.tenancy.graphql.context import GraphQLContext, payer_of, points_of
from apps.tenancy.scope import Scope
from config import negotiation
from config.explorer import explorer

logger = logging.getLogger(__name__)

# A workflow document may have 1 MiB; the query and the envelope around it get the rest.
MAX_BODY = 1_258_291


class _Forgery(CsrfViewMiddleware):
    """Django's own check, asked by hand: only calls that ride on a cookie need it."""

    def _reject(self, request: HttpRequest, reason: str) -> Any:
        return reason


@method_decorator(csrf_exempt, name="dispatch")
class ApiView(GraphQLView):
    """GraphQL over HTTP: POST, JSON, one operation."""

    allow_queries_via_get = False

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """Find the actor, enter the scope, run."""
        request_id = str(get_contextvars().get("request_id") or uuid7())
        if request.method == "GET":
            return self._explorer(request)
        unfit = _unfit(request, request_id)
        if unfit is not None:
            return unfit
        try:
            actor = actor_of_request(request)
            points = points_of(actor)
        except Unauthenticated as refusal:
            return _refused(request, refusal.message, refusal.code, request_id, 401)
        except DatabaseError:
            logger.exception("nobody could be recognized")
            message = "The database does not answer. Try again in a moment."
            return _refused(request, message, INTERNAL, request_id, 503)
        if bearer_of(request) is None and (reason := _forged(request)):
            message = f"The CSRF token is missing or wrong ({reason}). Send it as X-CSRFToken."
            return _refused(request, message, ErrorCode.FORBIDDEN, request_id, 403)
        request.actor = actor  # type: ignore[attr-defined] # for the log line
        request.graphql = GraphQLContext(  # type: ignore[attr-defined]
            request_id=request_id,
            payer=payer_of(actor),
            points_per_hour=points,
            idempotency_header=request.headers.get("Idempotency-Key"),
            actor=actor,
        )
        return self._serve(request, actor, request_id)

    def _serve(self, request: HttpRequest, actor: Actor, request_id: str) -> HttpResponseBase:
        try:
            with scope.enter(Scope.of(actor)):
                response = self.run(request=request)
        except UnicodeDecodeError:
            return _refused(request, "The body is not UTF-8.", ErrorCode.INVALID, request_id, 400)
        except HTTPException as error:
            return _refused(request, error.reason, ErrorCode.INVALID, request_id, error.status_code)
        response["Cache-Control"] = "no-store"
        return response

    def get_context(self, request: HttpRequest, response: HttpResponse) -> Any:
        """What resolvers see."""
        return request.graphql  # type: ignore[attr-defined]

    def decode_json(self, data: str | bytes) -> object:
        """JSON as PostgreSQL can store it: no NaN, no NUL, no half surrogates."""
        raw = data.encode() if isinstance(data, str) else data
        otherwise = "Send one operation as a JSON object; batches are off."
        try:
            return strict_json.read_object(raw, otherwise=otherwise)
        except Refusal as refusal:
            raise HTTPException(400, refusal.message) from None

    def process_result(self, request: HttpRequest, result: ExecutionResult) -> GraphQLHTTPResponse:
        """The result as it travels."""
        answer = super().process_result(request=request, result=result)
        for error in result.errors or ():
            extensions = error.extensions or {}
            if extensions.get("code") == ErrorCode.RATE_LIMITED.value:
                request.retry_after = extensions["retryAfterSeconds"]  # type: ignore[attr-defined]
        return answer

    def create_response(
        self,
        response_data: GraphQLHTTPResponse | list[GraphQLHTTPResponse],
        sub_response: HttpResponse,
    ) -> HttpResponseBase:
        """In the type the caller prefers; 429 when the bucket was empty."""
        response = negotiation.answer(self.request, response_data)
        retry = getattr(self.request, "retry_after", None)
        if retry is not None:
            response.status_code = 429
            response["Retry-After"] = str(retry)
        return response

    def get_sub_response(self, request: HttpRequest) -> TemporalHttpResponse:
        """Nothing of ours goes into it."""
        return TemporalHttpResponse()

    def _explorer(self, request: HttpRequest) -> HttpResponseBase:
        if signed_in(request.user) is None:
            return _refused(request, "Send operations by POST.", ErrorCode.INVALID, "", 405)
        return explorer(request)


def _unfit(request: HttpRequest, request_id: str) -> HttpResponse | None:
    """What can be refused before anybody is recognized."""
    if request.method != "POST":
        return _refused(request, "Send operations by POST.", ErrorCode.INVALID, request_id, 405)
    if negotiation.media_type(request) is None:
        message = f"Accept {negotiation.JSON} or {negotiation.RESPONSE}."
        return _refused(request, message, ErrorCode.INVALID, request_id, 406)
    length = _length(request)
    if length is None:
        return _refused(request, "Send a Content-Length.", ErrorCode.INVALID, request_id, 411)
    if length > MAX_BODY:
        message = f"A request has at most {MAX_BODY} bytes. Store large values as artifacts."
        return _refused(request, message, ErrorCode.INVALID, request_id, 413)
    if request.content_type != "application/json":
        message = "Send the operation as application/json."
        return _refused(request, message, ErrorCode.INVALID, request_id, 415)
    return None


def _refused(
    request: HttpRequest, message: str, code: str, request_id: str, status: int
) -> HttpResponse:
    error = {"message": message, "extensions": {"code": str(code), "requestId": request_id}}
    response = negotiation.answer(request, {"data": None, "errors": [error]}, status=status)
    response["Cache-Control"] = "no-store"
    if status == 401:
        response["WWW-Authenticate"] = "Bearer"
    if status == 405:
        response["Allow"] = "POST"
    return response


def _length(request: HttpRequest) -> int | None:
    # Without it a body could grow while it is read; every client that sends JSON knows it.
    text = request.headers.get("Content-Length") or ""
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 20 else None


def _forged(request: HttpRequest) -> str | None:
    check = _Forgery(lambda _: HttpResponse())
    check.process_request(request)
    reason = check.process_view(request, _checked, (), {})
    return None if reason is None else str(reason)


def _checked(request: HttpRequest) -> HttpResponse:
    """Stands for a view that is not exempt."""
    return HttpResponse()
