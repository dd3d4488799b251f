"""The door of the REST API: a key, its scope, its points; refusals leave as problem JSON."""

from __future__ import annotations

import asyncio
import functools
import logging
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass
from typing import Any, Final, TypeAlias, TypeVar

from django.db import DatabaseError, connection
from django.http import HttpRequest, HttpResponse
from django.views.decorators.csrf import csrf_exempt

from apps.kit import rest, strict_json
from apps.kit.clock import now
from apps.kit.errors import ErrorCode, Refusal, Unauthenticated
from apps.kit.graphql.charging import Charge, charge, charging
from apps.kit.graphql.cost import Price
from apps.kit.ids import uuid7
from apps.tenancy import scope
from apps.tenancy.actors import Actor
from apps.tenancy.doors import Presumed, actor_of_key, presumed, request_ip
from apps.tenancy.doors.requests import bearer_of
from apps.tenancy.graphql.context import payer_of, points_of
from apps.tenancy.scope import Scope

logger = logging.getLogger(__name__)

MAX_BODY: Final = 256 * 1024
PRICE: Final = Price(points=1, node_count=0)
# As many as the process has connections. They stay: a thread's first look at the database is dear.
_THREADS: Final = ThreadPoolExecutor(16, thread_name_prefix="rest")
T = TypeVar("T")
Presumes: TypeAlias = Callable[[Presumed, Callable[[], object]], T | None]
"""Takes what must be asked right before anything is written: it raises RateLimited."""
View = Callable[..., Coroutine[Any, Any, HttpResponse]]


@dataclass(kw_only=True, slots=True)
class Call:
    """One request; the actor is known from its first work on."""

    request: HttpRequest
    request_id: str
    actor: Actor | None = None
    charged: Charge | None = None
    _advance: Charge | None = None
    """What a presumed actor has paid."""

    async def work(self, do: Callable[[Actor], T], *, presume: Presumes[T] | None = None) -> T:
        """In a thread and in the caller's scope; the connection is given back at the end.

        `presume` does the same if it can, for a caller who is not recognized yet, in a statement
        that looks at the key itself; meanwhile the points are on their way.
        """
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(_THREADS, copy_context().run, self._work, do, presume)

    def _work(self, do: Callable[[Actor], T], presume: Presumes[T] | None) -> T:
        try:
            done = None if presume is None else self._presumed(presume)
            if done is not None:
                return done
            actor = self.actor or self._recognized()
            with scope.enter(Scope.of(actor)):
                return do(actor)
        finally:
            if not connection.in_atomic_block:
                connection.close()

    def _presumed(self, presume: Presumes[T]) -> T | None:
        """None where the key must be asked for: what is refused is refused then, in its order."""
        key, ip = bearer_of(self.request), request_ip(self.request)
        known = None if key is None else presumed(key, ip=ip)
        if key is None or known is None:
            return None
        actor = known.actor
        try:
            with scope.enter(Scope.of(actor)):
                points = points_of(actor, lately=True)
                with charging(payer_of(actor), PRICE, points_per_hour=points) as paid:
                    try:
                        done = presume(known, paid)
                    finally:
                        self._advance = paid()
        except Refusal:
            return None
        if done is not None:
            self.actor = self.request.actor = actor  # type: ignore[attr-defined] # for the log
            self.charged = self._advance
        if known.is_aged:
            _THREADS.submit(_ask_again, key, ip)
        return done

    def _recognized(self) -> Actor:
        key = bearer_of(self.request)
        if key is None:
            raise Unauthenticated(
                "Send an API key as `Authorization: Bearer nsx_…`. Keys are created in the "
                "organization's settings."
            )
        actor = actor_of_key(key, ip=request_ip(self.request))
        self.actor = self.request.actor = actor  # type: ignore[attr-defined] # for the log line
        points = points_of(actor)
        self.charged = self._advance or charge(payer_of(actor), PRICE, points_per_hour=points)
        return actor

    def body(self) -> dict[str, object]:
        """The object that was sent; nothing is an empty one."""
        raw = self.request.body
        if not raw:
            return {}
        return strict_json.read_object(raw, otherwise="Send a JSON object.")


def _ask_again(key: str, ip: str | None) -> None:
    """Once a minute, while nobody waits for it."""
    try:
        points_of(actor_of_key(key, ip=ip))
    except Unauthenticated:
        pass  # The next call will hear it.
    except Exception as error:
        logger.warning("a key was not asked for again: %s", error)
    finally:
        connection.close()


def endpoint(method: str) -> Callable[[View], View]:
    """A view of one method that gets a `Call` and may raise refusals."""

    def decorate(view: View) -> View:
        @csrf_exempt
        @functools.wraps(view)
        async def entered(request: HttpRequest, **arguments: str) -> HttpResponse:
            request_id = getattr(request, "request_id", None) or uuid7().hex
            call = Call(request=request, request_id=request_id)
            response = _unfit(call, method)
            if response is None:
                response = await _answered(call, view, arguments)
            if (charged := call.charged) is not None:
                reset = max(0, round((charged.reset_at - now()).total_seconds()))
                response["RateLimit-Limit"] = str(charged.limit)
                response["RateLimit-Remaining"] = str(charged.remaining)
                response["RateLimit-Reset"] = str(reset)
            return response

        return entered

    return decorate


async def _answered(call: Call, view: View, arguments: dict[str, str]) -> HttpResponse:
    try:
        return await view(call, **arguments)
    except Refusal as refusal:
        return rest.refused(refusal, request_id=call.request_id)
    except DatabaseError:
        logger.exception("the database did not answer")
        message = "The database does not answer. Try again in a moment."
        return _problem(call, message, code=rest.INTERNAL, status=503, retryAfterSeconds=1)
    except Exception:
        logger.exception("unexpected error in a REST call (request %s)", call.request_id)
        message = "Something went wrong on our side. Support can find it under the request id."
        return _problem(call, message, code=rest.INTERNAL, status=500)


def _unfit(call: Call, method: str) -> HttpResponse | None:
    """What can be refused before anybody is recognized."""
    request = call.request
    if request.method != method:
        response = _problem(call, f"Use {method} here.", code=ErrorCode.INVALID, status=405)
        response["Allow"] = method
        return response
    if method == "GET":
        return None
    text = request.headers.get("Content-Length") or "0"
    if not (text.isascii() and text.isdecimal() and len(text) < 20):
        return _problem(call, "Send a Content-Length.", code=ErrorCode.INVALID, status=411)
    if int(text) > MAX_BODY:
        message = f"A body has at most {MAX_BODY} bytes. Store large values as artifacts."
        return _problem(call, message, code=ErrorCode.INVALID, status=413)
    if int(text) and request.content_type != "application/json":
        message = "Send the body as application/json."
        return _problem(call, message, code=ErrorCode.INVALID, status=415)
    return None


def _problem(call: Call, message: str, *, code: str, status: int, **more: object) -> HttpResponse:
    return rest.problem(message, code=code, status=status, request_id=call.request_id, **more)
