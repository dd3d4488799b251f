"""How a workflow document is read and written: strict JSON in, frozen values, minimal JSON out."""

from collections.abc import Mapping
from typing import Any, cast

from pydantic import TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from apps.workflows.graph import arrival, migrate, plain
from apps.workflows.graph.error_rules import (
    ErrorAction,
    ErrorArguments,
    ErrorClass,
    ErrorMatch,
    ErrorRule,
)
from apps.workflows.graph.issues import DocumentInvalid, Fix, Issue
from apps.workflows.graph.nearby import meant
from apps.workflows.graph.shape import (
    MAX_NODES,
    Budget,
    Cache,
    CancelAction,
    Claims,
    Concurrency,
    Configuration,
    Connection,
    Document,
    ErrorHandler,
    Limits,
    Metadata,
    Node,
    NodePort,
    Parameter,
    Position,
    Resources,
    Retry,
    Schedule,
    Sla,
    Trigger,
    TriggerKind,
    WorkflowType,
)

__all__ = [
    "Budget",
    "Cache",
    "CancelAction",
    "Claims",
    "Concurrency",
    "Configuration",
    "Connection",
    "Document",
    "DocumentInvalid",
    "ErrorAction",
    "ErrorArguments",
    "ErrorClass",
    "ErrorHandler",
    "ErrorMatch",
    "ErrorRule",
    "Limits",
    "Metadata",
    "Node",
    "NodePort",
    "Parameter",
    "Position",
    "Resources",
    "Retry",
    "Schedule",
    "Sla",
    "Trigger",
    "TriggerKind",
    "WorkflowType",
    "parse",
    "parse_with_claims",
    "to_json",
]

MAX_ISSUES = 200
ADAPTER: TypeAdapter[Document] = TypeAdapter(Document)


def parse(raw: object) -> Document:
    """Read JSON text or values; raises DocumentInvalid with every problem of shape or size."""
    return parse_with_claims(raw)[0]


def parse_with_claims(raw: object) -> tuple[Document, Claims]:
    """Read a document and the read-only fields (id, version, status, author …) that came along."""
    value = plain.read(raw)
    if not isinstance(value, dict):
        message = "A workflow document is one JSON object."
        raise DocumentInvalid([Issue(code="WRONG_TYPE", message=message)])
    _refuse_too_many(value.get("nodes"))
    full, claims = arrival.normalized(migrate.to_current(value))
    try:
        return ADAPTER.validate_json(plain.encode(full), strict=True), claims
    except ValidationError as error:
        details = error.errors(include_url=False, include_input=False)[:MAX_ISSUES]
        raise DocumentInvalid([_issue(detail, full) for detail in details]) from None


def to_json(document: Document) -> dict[str, Any]:
    """The document as JSON values, defaults left out; `parse` reads it back equal."""
    written = cast(
        "dict[str, Any]",
        ADAPTER.dump_python(document, mode="json", by_alias=True, exclude_defaults=True),
    )
    return {"schemaVersion": document.schema_version, "nodes": [], "connections": [], **written}


def _refuse_too_many(nodes: object) -> None:
    if isinstance(nodes, list) and len(nodes) > MAX_NODES:
        message = (
            f"The document has {len(nodes):,} nodes; at most {MAX_NODES:,} are accepted. "
            "Move parts of it into sub-workflows."
        )
        raise DocumentInvalid([Issue(code="TOO_MANY_NODES", message=message, path=("nodes",))])


def _issue(detail: ErrorDetails, full: Mapping[str, Any]) -> Issue:
    path = tuple(str(part) for part in detail["loc"])
    where = ".".join(path)
    fix: Fix = ()
    match detail["type"]:
        case "unexpected_keyword_argument":
            code = "UNKNOWN_FIELD"
            message = f"There is no field `{where}`; {_instead(path, full)}"
            fix = ({"op": "remove", "path": pointer(path)},)
        case "missing":
            code, message = "FIELD_REQUIRED", f"Add the field `{where}`."
        case kind if kind.endswith("_type"):
            code, message = "WRONG_TYPE", f"`{where}`: {_sentence(detail['msg'])}"
        case _:
            code, message = "VALUE_NOT_ALLOWED", f"`{where}`: {_sentence(detail['msg'])}"
    return Issue(
        code=code,
        message=message,
        path=path,
        node_id=_id_at(full, path, "nodes"),
        connection_id=_id_at(full, path, "connections"),
        fix=fix,
    )


def pointer(path: tuple[str, ...]) -> str:
    """A path as JSON Pointer (RFC 6901)."""
    return "".join("/" + part.replace("~", "~0").replace("/", "~1") for part in path)


def _sentence(message: str) -> str:
    return f"{message[0].lower()}{message[1:]}."


def _instead(path: tuple[str, ...], full: Mapping[str, Any]) -> str:
    """The known sibling it may have been meant for, else to remove it."""
    known = {"nodes": arrival.NODE_FIELDS, "connections": arrival.CONNECTION_FIELDS}
    names = known.get(path[0], arrival.DOCUMENT_FIELDS) if len(path) in (1, 3) else frozenset()
    return meant(path[-1], sorted(names), otherwise="remove it.", cutoff=0.5)


def _id_at(full: Mapping[str, Any], path: tuple[str, ...], collection: str) -> str | None:
    """The id of the node or connection a path leads into, when there is one to name."""
    if len(path) < 2 or path[0] != collection or not path[1].isdecimal():
        return None
    item = full[collection][int(path[1])]
    found = item.get("id") if isinstance(item, dict) else None
    return found if isinstance(found, str) else None
