"""Logs: every line knows request, tenant and run, and no line holds a secret."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from io import StringIO
from typing import Any

import httpx
import pytest
import structlog
from django.http import HttpRequest, HttpResponse
from django.test import RequestFactory

from apps.kit.ids import uuid7
from apps.tenancy import scope
from apps.tenancy.actors import Actor
from config import logs


@pytest.fixture
def stream() -> Iterator[StringIO]:
    written = StringIO()
    handler = logging.StreamHandler(written)
    handler.setFormatter(logs.formatter(json=True))
    root = logging.getLogger()
    root.addHandler(handler)
    yield written
    root.removeHandler(handler)


def lines(stream: StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_the_tenant_in_force_is_on_every_line(stream: StringIO) -> None:
    tenant_id = uuid7()

    with scope.enter(scope.Scope(tenant_id=tenant_id)):
        logging.getLogger("library").warning("plain")
        structlog.get_logger("ours").warning("structured")
    logging.getLogger("library").warning("outside")

    assert [line.get("tenant") for line in lines(stream)] == [str(tenant_id), str(tenant_id), None]


def test_run_and_step_travel_with_plain_logging(stream: StringIO) -> None:
    logging.getLogger("library").warning("m", extra={"run": "r1", "step": "s1"})

    assert (lines(stream)[0]["run"], lines(stream)[0]["step"]) == ("r1", "s1")


@pytest.mark.parametrize("name", ["password", "api_key", "apiKey", "Authorization", "csrf_token"])
def test_a_value_with_a_telling_name_is_hidden(stream: StringIO, name: str) -> None:
    structlog.get_logger("ours").warning("m", **{name: "hush-hush"})

    assert "hush-hush" not in stream.getvalue()


@pytest.mark.parametrize(
    "text",
    ["postgresql://me:hush-hush@h/d", "nsx_0190_0191_hush-hush", "redis://:hush-hush@h/0"],
)
def test_a_credential_inside_a_text_is_hidden(stream: StringIO, text: str) -> None:
    logging.getLogger("library").warning("cannot reach %s", text)

    assert "hush-hush" not in stream.getvalue()


def test_a_credential_inside_a_traceback_is_hidden(stream: StringIO) -> None:
    try:
        raise ValueError("postgresql://me:hush-hush@h/d")
    except ValueError:
        logging.getLogger("library").exception("failed")

    assert "ValueError" in stream.getvalue()
    assert "hush-hush" not in stream.getvalue()


def answer(request: HttpRequest) -> HttpResponse:
    structlog.get_logger("view").warning("inside")
    return HttpResponse("hello")


def test_a_request_has_one_id_in_log_and_answer(stream: StringIO) -> None:
    request = RequestFactory().get("/things?secret=hush-hush")
    tenant_id = uuid7()
    request.actor = Actor.system(tenant_id, name="somebody")  # type: ignore[attr-defined]

    response = logs.RequestLog(answer)(request)

    inside, line = lines(stream)
    request_id = response.headers["X-Request-ID"]
    assert (inside["request_id"], line["request_id"]) == (request_id, request_id)
    assert (line["method"], line["path"], line["status"]) == ("GET", "/things", 200)
    assert line["tenant"] == str(tenant_id)
    assert "hush-hush" not in stream.getvalue()


@pytest.mark.parametrize(
    ("given", "kept"), [("client-id-0001", True), ("short", False), ("bad\nline-in-it", False)]
)
def test_a_callers_request_id_is_kept_when_it_is_one(given: str, kept: bool) -> None:
    request = RequestFactory().get("/", headers={"X-Request-ID": given})

    response = logs.RequestLog(answer)(request)

    assert (response.headers["X-Request-ID"] == given) is kept


def test_balancers_do_not_fill_the_log(stream: StringIO) -> None:
    logs.RequestLog(lambda request: HttpResponse())(RequestFactory().get("/healthz"))

    assert stream.getvalue() == ""


def test_no_address_of_an_outgoing_call_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    answer = httpx.MockTransport(lambda _: httpx.Response(200))
    with caplog.at_level(logging.INFO), httpx.Client(transport=answer) as client:
        client.get("https://example.com/?key=hush")

    assert "hush" not in caplog.text
