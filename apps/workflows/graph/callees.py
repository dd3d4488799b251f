"""Which other workflows a document names: as a step, as a fallback, as the handler of failures."""

import base64
import binascii
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from apps.workflows.graph import templates
from apps.workflows.graph.issues import Issue
from apps.workflows.graph.parameters import resolve
from apps.workflows.graph.shape import Document, ErrorHandler, Node

SUBWORKFLOW: Final = "control.subworkflow"
_MAX_ID: Final = 200
_TYPE: Final = "Workflow:"


@dataclass(frozen=True, kw_only=True)
class Callee:
    """One place where a workflow is named."""

    workflow: str
    path: tuple[str, ...]
    """Of the field that names it."""
    node_id: str | None = None
    version: str | None = None
    given: Mapping[str, Any] | None = field(default=None)
    """The parameters it gets, where the document alone says them."""


def workflow_id_of(text: str) -> uuid.UUID | None:
    """The id behind a UUID or an id of the API; None for anything else."""
    key = text.strip()
    if len(key) > _MAX_ID:
        return None
    try:
        decoded = base64.b64decode(key, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        decoded = ""
    if decoded.startswith(_TYPE):
        key = decoded.removeprefix(_TYPE)
    try:
        return uuid.UUID(key)
    except ValueError:
        return None


def callees(document: Document) -> Iterator[Callee]:
    """In document order; what an expression names is known only when it runs."""
    for number, node in enumerate(document.nodes):
        at = ("nodes", str(number))
        if node.type == SUBWORKFLOW:
            yield from _step(document, node, at)
        for index, rule in enumerate(node.on_error):
            if rule.arguments.workflow is not None:
                path = (*at, "onError", str(index), "with", "workflow")
                yield Callee(workflow=rule.arguments.workflow, path=path, node_id=node.id)
    handler = document.configuration.error_handler
    if isinstance(handler, ErrorHandler):
        yield Callee(workflow=handler.workflow, path=("configuration", "errorHandler", "workflow"))


def misfits(callee: Callee, called: Document) -> Iterator[Issue]:
    """What a step gives that the workflow does not take, and what it takes and is not given.

    Values that an expression makes are held against nothing before they are known.
    """
    if callee.given is None:
        return
    _, issues = resolve(called.configuration.parameters, callee.given)
    path = (*callee.path[:-1], "parameters")
    for issue in issues:
        name = issue.path[-1]
        if issue.code == "PARAMETER_INVALID" and _is_computed(callee.given.get(name)):
            continue
        yield Issue(
            code=issue.code, message=issue.message, path=(*path, name), node_id=callee.node_id
        )


def _step(document: Document, node: Node, at: tuple[str, ...]) -> Iterator[Callee]:
    named = node.configuration.get("workflow")
    if node.disabled or not isinstance(named, str) or _is_computed(named):
        return
    version, given = node.configuration.get("version"), node.configuration.get("parameters", {})
    is_fed = any(one.target == node.id for one in document.connections)
    is_known = isinstance(given, dict) and not is_fed and not _is_computed(version)
    yield Callee(
        workflow=named,
        path=(*at, "configuration", "workflow"),
        node_id=node.id,
        version=version if isinstance(version, str) and not _is_computed(version) else None,
        given=given if is_known else None,
    )


def _is_computed(value: Any) -> bool:
    return next(templates.texts({"": value}), None) is not None
