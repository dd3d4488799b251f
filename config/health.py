"""Whether this process lives, and whether it can serve: asked by balancers, without a login."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import psycopg
import redis
from django.conf import settings
from django.db import DatabaseError, connection
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

REDIS_SECONDS: Final = 1.0
SERVICE_UNAVAILABLE: Final = 503


@never_cache
@require_safe
def healthz(request: HttpRequest) -> HttpResponse:
    """The process answers; it asks nobody else, so a slow database restarts no web server."""
    return HttpResponse("ok\n", content_type="text/plain")


@never_cache
@require_safe
def readyz(request: HttpRequest) -> JsonResponse:
    """Every server this process needs, each ok or unreachable; 503 when the database is not."""
    checks = {"database": _holds(_database), "redis": _holds(_redis)}
    # Redis is a doorbell: without it the product is slower, not wrong.
    ready = checks["database"]
    return JsonResponse(
        {
            "status": "ready" if ready else "unavailable",
            "checks": {name: "ok" if good else "unreachable" for name, good in checks.items()},
        },
        status=200 if ready else SERVICE_UNAVAILABLE,
    )


def _holds(check: Callable[[], None]) -> bool:
    try:
        check()
    except (DatabaseError, psycopg.Error, redis.RedisError, OSError):
        return False
    return True


def _database() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")


def _redis() -> None:
    with redis.Redis.from_url(
        settings.REDIS_URL, socket_timeout=REDIS_SECONDS, socket_connect_timeout=REDIS_SECONDS
    ) as client:
        client.ping()
