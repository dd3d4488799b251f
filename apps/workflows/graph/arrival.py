"""What a document may look like on arrival: short form, read-only fields, other spellings."""

import itertools
import keyword
import re
from collections.abc import Iterable, Mapping
from dataclasses import fields
from typing import Any

from pydantic.alias_generators import to_camel

from apps.workflows.graph.error_rules import ErrorAction
from apps.workflows.graph.issues import DocumentInvalid, Issue
from apps.workflows.graph.shape import Claims, Configuration, Connection, Document, Node

API_TYPES = {"RAG": "rag", "AGENTIC": "agentic", "ML": "ml", "DATA_PIPELINE": "dataPipeline"}
STATUSES = frozenset({"DRAFT", "PUBLISHED", "ARCHIVED"})
NODE_SPACING = 240


def _names(shape: type) -> frozenset[str]:
    return frozenset(to_camel(field.name) for field in fields(shape))


DOCUMENT_FIELDS, NODE_FIELDS = _names(Document), _names(Node)
CONNECTION_FIELDS, CONFIGURATION_FIELDS = _names(Connection), _names(Configuration)


def normalized(raw: dict[str, Any]) -> tuple[dict[str, Any], Claims]:
    """The document in its full spelling, and the read-only fields that came along."""
    document = _without_nulls(raw, DOCUMENT_FIELDS)
    claims = _take_claims(document)
    if isinstance(document.get("type"), str):
        document["type"] = API_TYPES.get(document["type"], document["type"])
    if isinstance(document.get("configuration"), dict):
        document["configuration"] = _configuration(document["configuration"])
    nodes, connections = document.get("nodes"), document.get("connections")
    if isinstance(nodes, list):
        document["nodes"], chain = _named(nodes)
        if chain and not connections:
            connections = chain
    if isinstance(connections, list):
        document["connections"] = _numbered(connections)
    return document, claims


def _without_nulls(raw: dict[str, Any], known: frozenset[str]) -> dict[str, Any]:
    """A known field that is null is a field left out."""
    return {key: value for key, value in raw.items() if value is not None or key not in known}


def _configuration(raw: dict[str, Any]) -> dict[str, Any]:
    configuration = _without_nulls(raw, CONFIGURATION_FIELDS)
    if "schedule" in configuration:
        single = configuration.pop("schedule")
        if single is not None and not configuration.get("schedules"):
            configuration["schedules"] = [single]
        elif single is not None:
            message = "Give either one `schedule` or a list of `schedules`, not both."
            path = ("configuration", "schedule")
            raise DocumentInvalid([Issue(code="SCHEDULE_TWICE", message=message, path=path)])
    return configuration


def _take_claims(document: dict[str, Any]) -> Claims:
    """Take the read-only fields out of the document, for whoever can check their values."""
    metadata = document.get("metadata")
    inner: dict[str, Any] = {}
    if isinstance(metadata, dict):
        document["metadata"] = inner = dict(metadata)
    taken = {
        **{name: document.pop(name, None) for name in ("id", "version", "status")},
        **{name: inner.pop(name, None) for name in ("created", "modified", "author")},
    }
    issues = [
        _claim_issue(name)
        for name, value in taken.items()
        if not (value is None or isinstance(value, str) or (name == "author" and _is_object(value)))
    ]
    if isinstance(taken["status"], str) and taken["status"].upper() not in STATUSES:
        issues.append(_claim_issue("status"))
    if issues:
        raise DocumentInvalid(issues)
    return Claims(**taken)


def _is_object(value: object) -> bool:
    return isinstance(value, Mapping)


def _claim_issue(name: str) -> Issue:
    path = (name,) if name in {"id", "version", "status"} else ("metadata", name)
    message = f"`{'.'.join(path)}` is read-only and this is no value it could have; leave it out."
    return Issue(code="WRONG_TYPE", message=message, path=path)


def _named(raw: list[Any]) -> tuple[list[Any], list[dict[str, Any]]]:
    """Nodes with an id each, and, when none had one, the chain that connects them in order."""
    nodes = [_node(node) if isinstance(node, dict) else node for node in raw]
    nameless = [node for node in nodes if isinstance(node, dict) and "id" not in node]
    taken = set(_ids(nodes))
    for index, node in enumerate(nodes):
        if isinstance(node, dict) and "id" not in node:
            node["id"] = _free_id(node.get("type"), taken)
            node.setdefault("position", {"x": index * NODE_SPACING, "y": 0})
            taken.add(node["id"])
    if not nameless or len(nameless) != len(nodes):
        return nodes, []
    ids = [node["id"] for node in nodes]
    return nodes, [
        {"source": source, "target": target} for source, target in itertools.pairwise(ids)
    ]


def _node(raw: dict[str, Any]) -> dict[str, Any]:
    """`onError` as a lone word stands for one rule that matches every failure."""
    node = _without_nulls(raw, NODE_FIELDS)
    word = node.get("onError")
    if word == ErrorAction.FAIL:
        node["onError"] = []
    elif isinstance(word, str):
        node["onError"] = [{"do": word}]
    return node


def _free_id(type_: object, taken: set[str]) -> str:
    stem = re.sub(r"\W", "_", str(type_).rpartition(".")[2], flags=re.ASCII)[:50] or "node"
    if keyword.iskeyword(stem) or stem[0].isdigit():
        stem = f"{stem}_" if keyword.iskeyword(stem) else f"node_{stem}"
    return _free(stem, taken, separator="_")


def _numbered(raw: list[Any]) -> list[Any]:
    connections = [
        _without_nulls(connection, CONNECTION_FIELDS)
        if isinstance(connection, dict)
        else connection
        for connection in raw
    ]
    taken = set(_ids(connections))
    for number, connection in enumerate(connections, start=1):
        if isinstance(connection, dict) and "id" not in connection:
            connection["id"] = _free(f"c{number}", taken, separator="_")
            taken.add(connection["id"])
    return connections


def _ids(items: Iterable[Any]) -> Iterable[str]:
    return (
        item["id"] for item in items if isinstance(item, dict) and isinstance(item.get("id"), str)
    )


def _free(stem: str, taken: set[str], *, separator: str) -> str:
    candidate, number = stem, 2
    while candidate in taken:
        candidate, number = f"{stem}{separator}{number}", number + 1
    return candidate
