"""The REST API described for programs: `GET /api/v1/openapi.json`."""

from __future__ import annotations

from typing import Any, Final

from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_safe

from apps.executions.engine.state import RunStatus
from apps.kit import rest
from apps.tenancy.models import EnvironmentKind

_TEXT: Final = {"type": "string"}
_MAYBE_TEXT: Final = {"type": ["string", "null"]}
_INSTANT: Final = {"type": ["string", "null"], "format": "date-time"}
_ANY_OBJECT: Final = {"type": ["object", "null"]}


def _content(name: str, media: str = "application/json") -> dict[str, Any]:
    return {media: {"schema": {"$ref": f"#/components/schemas/{name}"}}}


def _run(description: str) -> dict[str, Any]:
    return {"description": description, "content": _content("Run")}


_PROBLEM: Final = {
    "description": "A refusal: a stable code, and how to mend it.",
    "content": _content("Problem", "application/problem+json"),
}


def _parameter(name: str, place: str, description: str, **schema: Any) -> dict[str, Any]:
    return {
        "name": name,
        "in": place,
        "required": place == "path",
        "description": description,
        "schema": schema or _TEXT,
    }


_WAIT: Final = _parameter(
    "wait", "query", "Seconds to wait for the end.", type="number", minimum=0, maximum=60, default=0
)
_RUN_ID: Final = _parameter("id", "path", "The run: a UUID, or GraphQL's id.")
_SCHEMAS: Final[dict[str, Any]] = {
    "Start": {
        "type": "object",
        "additionalProperties": False,
        "properties": {
            "parameters": {"type": "object"},
            "environment": {
                "description": f"{', '.join(EnvironmentKind)}, or an environment's id.",
                "default": EnvironmentKind.DEVELOPMENT.value,
                **_TEXT,
            },
            "version": {"description": "Without it the version that is deployed.", **_MAYBE_TEXT},
        },
    },
    "Run": {
        "type": "object",
        "properties": {
            **dict.fromkeys(("id", "workflowId", "version", "environment", "trigger"), _TEXT),
            "status": {"enum": [status.value for status in RunStatus], **_TEXT},
            **dict.fromkeys(("createdAt", "startedAt", "finishedAt"), _INSTANT),
            "durationMs": {"type": ["integer", "null"]},
            "result": {"description": "Outputs of the nodes nothing follows.", **_ANY_OBJECT},
            "error": _ANY_OBJECT,
            "url": _TEXT,
        },
    },
    "Problem": {
        "type": "object",
        "properties": {
            **dict.fromkeys(("type", "title", "code", "detail", "reason", "requestId"), _TEXT),
            "status": {"type": "integer"},
            "path": {"type": "array", "items": _TEXT},
            "retryAfterSeconds": {"type": "integer"},
        },
    },
}
DOCUMENT: Final[dict[str, Any]] = {
    "openapi": "3.1.0",
    "info": {"title": "NStarX Workflows", "version": "1"},
    "security": [{"key": []}],
    "paths": {
        "/api/v1/workflows/{id}/runs": {
            "post": {
                "summary": "Start a run, and wait for its end",
                "parameters": [
                    _parameter("id", "path", "The workflow: a UUID, or GraphQL's id."),
                    _WAIT,
                    _parameter("Idempotency-Key", "header", "The same key starts one run a day."),
                ],
                "requestBody": {"content": _content("Start")},
                "responses": {
                    "201": _run("The run, which has ended."),
                    "202": _run("The run, which goes on: look at Location after Retry-After."),
                    "default": _PROBLEM,
                },
            }
        },
        "/api/v1/runs/{id}": {
            "get": {
                "summary": "Look at a run, or wait for its end",
                "parameters": [_RUN_ID, _WAIT],
                "responses": {"200": _run("The run."), "default": _PROBLEM},
            }
        },
        "/api/v1/runs/{id}/cancel": {
            "post": {
                "summary": "Ask a run to stop",
                "parameters": [_RUN_ID],
                "responses": {
                    "200": _run("The run had ended."),
                    "202": _run("The run, which will stop."),
                    "default": _PROBLEM,
                },
            }
        },
    },
    "components": {
        "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}},
        "schemas": _SCHEMAS,
    },
}


@require_safe
def document(request: HttpRequest) -> HttpResponse:
    """For everybody: it says nothing of anybody."""
    return rest.answer(DOCUMENT)
