"""The JSON Schema of workflow documents, served to everybody."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.views.decorators.cache import cache_control
from django.views.decorators.http import require_safe

from apps.workflows.graph import schema

DAY = 86_400


@require_safe
@cache_control(public=True, max_age=DAY)
def document_schema(request: HttpRequest) -> HttpResponse:
    """As it is committed: /schemas/workflow/v1.json."""
    response = HttpResponse(schema.text(), content_type="application/schema+json")
    # Designers and editors on other sites may read it: it is the same for everybody.
    response["Access-Control-Allow-Origin"] = "*"
    return response
