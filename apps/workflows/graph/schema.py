"""The JSON Schema of the workflow document, made from its shape; committed and served unchanged."""

import json
from functools import cache
from pathlib import Path
from typing import Any

from apps.workflows.graph.document import ADAPTER
from apps.workflows.graph.error_rules import SHORT_ACTIONS
from apps.workflows.graph.shape import SCHEMA_VERSION

COMMITTED = Path(__file__).parent / "schema" / f"v{SCHEMA_VERSION}.json"
SERVED_AT = f"/schemas/workflow/v{SCHEMA_VERSION}.json"

_READ_ONLY: dict[str, dict[str, Any]] = {
    "id": {"type": "string"},
    "version": {"type": "string"},
    "status": {"enum": ["draft", "published", "archived", "DRAFT", "PUBLISHED", "ARCHIVED"]},
}
_READ_ONLY_METADATA: dict[str, dict[str, Any]] = {
    "created": {"type": "string", "format": "date-time"},
    "modified": {"type": "string", "format": "date-time"},
    "author": {"type": ["string", "object"]},
}


@cache
def text() -> str:
    """The schema as it is committed and served."""
    return json.dumps(document_schema(), indent=2, ensure_ascii=False) + "\n"


def document_schema() -> dict[str, Any]:
    """JSON Schema 2020-12 of what `parse` accepts; ids and connections may be left out."""
    schema = ADAPTER.json_schema(by_alias=True, mode="validation")
    shapes = schema["$defs"]
    for shape in (schema, *shapes.values()):
        for field in shape.get("properties", {}).values():
            field.pop("title", None)
    shapes["Node"]["required"].remove("id")
    shapes["Connection"]["required"].remove("id")
    rules = shapes["Node"]["properties"]["onError"]
    rules["anyOf"] = [
        {"enum": [action.value for action in SHORT_ACTIONS]},
        {name: rules.pop(name) for name in ("type", "items", "maxItems")},
    ]
    schema["properties"] |= _read_only(_READ_ONLY)
    shapes["Metadata"]["properties"] |= _read_only(_READ_ONLY_METADATA)
    shapes["Configuration"]["properties"]["schedule"] = {
        "$ref": "#/$defs/Schedule",
        "description": "A single schedule, read as a list of one.",
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": SERVED_AT,
        "title": f"Workflow document, version {SCHEMA_VERSION}",
        **{name: value for name, value in schema.items() if name != "title"},
    }


def _read_only(fields: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    note = "Read-only: may come along and is checked, never set."
    return {
        name: {**field, "readOnly": True, "description": note} for name, field in fields.items()
    }
