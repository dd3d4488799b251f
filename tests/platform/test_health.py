"""Liveness asks nobody; readiness asks the servers and tells which one is missing."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.test import RequestFactory

from config import health
from config.supervisor import ports

requests = RequestFactory()


def test_the_process_lives() -> None:
    answer = health.healthz(requests.get("/healthz"))

    assert (answer.status_code, answer.content) == (200, b"ok\n")


@pytest.mark.django_db
def test_ready_when_both_servers_answer() -> None:
    answer = health.readyz(requests.get("/readyz"))

    assert answer.status_code == 200
    assert json.loads(answer.content)["checks"] == {"database": "ok", "redis": "ok"}


@pytest.mark.django_db
def test_without_redis_it_is_still_ready_and_says_so(settings: Any) -> None:
    settings.REDIS_URL = f"redis://127.0.0.1:{ports.any_free()}/0"

    answer = health.readyz(requests.get("/readyz"))

    assert answer.status_code == 200
    assert json.loads(answer.content)["checks"] == {"database": "ok", "redis": "unreachable"}


def test_without_the_database_it_is_not_ready(monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable() -> None:
        raise ConnectionRefusedError

    monkeypatch.setattr(health, "_database", unreachable)

    answer = health.readyz(requests.get("/readyz"))

    assert answer.status_code == 503
    assert json.loads(answer.content)["checks"]["database"] == "unreachable"


def test_only_reading_is_answered() -> None:
    assert health.healthz(requests.post("/healthz")).status_code == 405
