"""Rules about configuration: it matches its node type; secrets stand only where they may."""

from collections.abc import Iterator
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from apps.workflows.graph import templates
from apps.workflows.graph.declaration import Effect, NodeType
from apps.workflows.graph.document import pointer
from apps.workflows.graph.issues import Fix, Issue, Severity
from apps.workflows.graph.rules.drawing import Drawing
from apps.workflows.graph.shape import Node


def check(drawing: Drawing) -> Iterator[Issue]:
    """All rules of this file."""
    for node in drawing.nodes.values():
        if node_type := drawing.types.get(node.id):
            yield from _parameters(drawing, node, node_type)
            yield from _secrets(drawing, node, node_type)
            yield from _retry(drawing, node, node_type)
            yield from _cache(drawing, node, node_type)


def _parameters(drawing: Drawing, node: Node, node_type: NodeType) -> Iterator[Issue]:
    try:
        node_type.parameters.read(node.configuration)
    except ValidationError as error:
        by_path: dict[tuple[str, ...], list[ErrorDetails]] = {}
        for detail in error.errors(include_url=False, include_input=False):
            if not _waits_for_expression(node.configuration, detail, node_type):
                by_path.setdefault(_path(node.configuration, detail), []).append(detail)
        for path, details in by_path.items():
            yield _issue(drawing, node, path, details)


def _path(configuration: Any, detail: ErrorDetails) -> tuple[str, ...]:
    """Where in the configuration; the library also names the members of unions it tried."""
    path = []
    location = detail["loc"]
    for number, part in enumerate(location):
        known = isinstance(configuration, dict) and part in configuration
        if known or (isinstance(configuration, list) and isinstance(part, int)):
            configuration = configuration[part]
            path.append(str(part))
        elif detail["type"] == "missing" and number == len(location) - 1:
            path.append(str(part))
    return tuple(path)


def _issue(drawing: Drawing, node: Node, at: tuple[str, ...], details: list[ErrorDetails]) -> Issue:
    """One issue for a place, whatever the number of types it could have had."""
    path = ("configuration", *at)
    where = ".".join(at) or "configuration"
    fix: Fix = ()
    match details[0]["type"]:
        case "extra_forbidden":
            code, message = "CONFIGURATION_UNKNOWN", f"`{where}` is no parameter of `{node.type}`."
            fix = ({"op": "remove", "path": pointer(("nodes", _place(drawing, node), *path))},)
        case "missing":
            code, message = "CONFIGURATION_REQUIRED", f"`{node.id}` needs the parameter `{where}`."
        case kind:
            wrong = kind.endswith(("_type", "_parsing"))
            code = "CONFIGURATION_WRONG_TYPE" if wrong else "CONFIGURATION_VALUE"
            message = f"`{where}` of `{node.id}`: {', or '.join(map(_said, details))}."
    return drawing.node_issue(node, code, message, *path, fix=fix)


def _said(detail: ErrorDetails) -> str:
    said = detail["msg"].removeprefix("Value error, ").rstrip(".")
    return f"{said[0].lower()}{said[1:]}"


def _place(drawing: Drawing, node: Node) -> str:
    return str(drawing.places[node.id])


def _waits_for_expression(
    configuration: dict[str, Any], detail: ErrorDetails, node_type: NodeType
) -> bool:
    """What an expression will give is known at run time only; there the same model judges it."""
    location = detail["loc"]
    if not location or location[0] in node_type.code:
        return False
    at: Any = configuration
    for part in location:
        try:
            at = at[part]
        except (KeyError, IndexError, TypeError):  # A tag of a union, or what is missing.
            break
    if isinstance(at, dict) and "union" in detail["type"]:
        return any(_holds_expression(value) for value in at.values())
    return _holds_expression(at)


def _holds_expression(value: Any) -> bool:
    return isinstance(value, str) and "{{" in value


def _secrets(drawing: Drawing, node: Node, node_type: NodeType) -> Iterator[Issue]:
    verbatim = frozenset(node_type.code)
    for path, text in templates.texts(node.configuration, verbatim=verbatim):
        if templates.secret_in(text) and path[0] not in node_type.secrets:
            message = (
                f"`{node.type}` may not open a secret in `{path[0]}`. "
                f"{_where_secrets_go(node_type)}"
            )
            field = ("configuration", *(str(part) for part in path))
            yield drawing.node_issue(node, "SECRET_NOT_ALLOWED", message, *field)


def _where_secrets_go(node_type: NodeType) -> str:
    if node_type.secrets:
        return f"It takes secrets in {', '.join(f'`{name}`' for name in node_type.secrets)}."
    return "It takes none; use a node that declares one."


def _cache(drawing: Drawing, node: Node, node_type: NodeType) -> Iterator[Issue]:
    is_kept = node.cache is not None and node.cache.ttl_seconds > 0
    if is_kept and node_type.effect is not Effect.PURE:
        message = (
            f"`{node.type}` touches the world: nothing it gives is kept, each run does it anew. "
            "Remove `cache`, or cache a pure node beside it."
        )
        warning = Severity.WARNING
        yield drawing.node_issue(node, "CACHE_IGNORED", message, "cache", severity=warning)


def _retry(drawing: Drawing, node: Node, node_type: NodeType) -> Iterator[Issue]:
    if node_type.effect is Effect.UNSAFE and node.retry and node.retry.max_attempts > 1:
        message = (
            f"`{node.type}` may do its effect twice when it is repeated; "
            "each repetition will wait for a person. Set maxAttempts to 1 to fail instead."
        )
        warning = Severity.WARNING
        yield drawing.node_issue(node, "RETRY_UNSAFE", message, "retry", severity=warning)
