"""What a workflow needs and may do, read from its document and the node types it uses."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol
from urllib.parse import urlsplit

from apps.marketplace.terms import Risk
from apps.security_scan.scanner import braces
from apps.workflows.graph.declaration import NodeType

_SECRET = re.compile(r"\bsecrets\s*\.\s*([A-Za-z_]\w*)")
_ROOT = re.compile(r"^\s*(parameters|variables)\s*\.\s*([A-Za-z_]\w*)")
SECRET_CONNECTOR = "secret"  # noqa: S105 - the connector type of a slot that holds one secret


class Catalogue(Protocol):
    """The part of the node catalogue that requirements are read from."""

    def get(self, type: str, version: int | str | None = None) -> NodeType | None:
        """The declaration of a node type, None when unknown."""


@dataclass(frozen=True, kw_only=True)
class NodeTypeNeed:
    """A node type and the majors of it that will do."""

    type: str
    version_range: str


@dataclass(frozen=True, kw_only=True)
class Slot:
    """A place for a credential. A release carries the slot, never the credential."""

    slot: str
    connector_type: str
    description: str
    scopes: tuple[str, ...] = ()
    optional: bool = False


@dataclass(frozen=True, kw_only=True)
class Permission:
    """Something the workflow may do that whoever installs it must agree to."""

    key: str
    reason: str
    risk: Risk


@dataclass(frozen=True, kw_only=True)
class Requirements:
    """Everything an installer should know before saying yes."""

    platform: str = "*"
    node_types: tuple[NodeTypeNeed, ...] = ()
    slots: tuple[Slot, ...] = ()
    permissions: tuple[Permission, ...] = ()
    parameters: Mapping[str, Any] = field(default_factory=dict)
    resources: Mapping[str, Any] = field(default_factory=dict)
    dependencies: tuple[Mapping[str, Any], ...] = ()

    def to_json(self) -> dict[str, Any]:
        """As a release keeps it."""
        return asdict(self)

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Requirements:
        """Read what `to_json` wrote."""
        return cls(
            platform=stored["platform"],
            node_types=tuple(NodeTypeNeed(**one) for one in stored["node_types"]),
            slots=tuple(Slot(**{**one, "scopes": tuple(one["scopes"])}) for one in stored["slots"]),
            permissions=tuple(
                Permission(key=one["key"], reason=one["reason"], risk=Risk(one["risk"]))
                for one in stored["permissions"]
            ),
            parameters=stored["parameters"],
            resources=stored["resources"],
            dependencies=tuple(stored["dependencies"]),
        )


def read_requirements(
    document: Mapping[str, Any], catalogue: Catalogue, *, platform: str = "*"
) -> Requirements:
    """The requirements of a valid document."""
    nodes = [node for node in document.get("nodes", []) if not node.get("disabled")]
    configuration = document.get("configuration") or {}
    needs = {
        (node["type"], str(node.get("typeVersion") or "1").partition(".")[0]) for node in nodes
    }
    return Requirements(
        platform=platform,
        node_types=tuple(
            NodeTypeNeed(type=kind, version_range=f"^{major}") for kind, major in sorted(needs)
        ),
        slots=tuple(_slots(nodes)),
        permissions=tuple(_permissions(nodes, catalogue)),
        parameters=parameter_schema(configuration.get("parameters") or []),
        resources=dict(configuration.get("resources") or {}),
    )


def parameter_schema(parameters: list[Mapping[str, Any]]) -> dict[str, Any]:
    """What may be overridden: one JSON Schema object with the defaults in it."""
    properties: dict[str, Any] = {}
    for parameter in parameters:
        shown = dict(parameter.get("schema") or {})
        if parameter.get("secret"):
            shown["writeOnly"] = True
        elif parameter.get("default") is not None:
            shown["default"] = parameter["default"]
        properties[parameter["name"]] = shown
    required = [
        parameter["name"]
        for parameter in parameters
        if parameter.get("required") and parameter.get("default") is None
    ]
    return {
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": False,
    }


def secret_names(document: Mapping[str, Any]) -> tuple[str, ...]:
    """The secrets a document refers to, by name."""
    return tuple(slot.slot for slot in _slots(document.get("nodes", [])))


def _slots(nodes: list[Mapping[str, Any]]) -> Iterator[Slot]:
    users: dict[str, list[str]] = {}
    for node in nodes:
        for text in strings(node.get("configuration")):
            for inside in braces.insides(text):
                for name in _SECRET.findall(inside):
                    label = str(node.get("name") or node["id"])
                    if label not in users.setdefault(name, []):
                        users[name].append(label)
    for name in sorted(users):
        yield Slot(
            slot=name,
            connector_type=SECRET_CONNECTOR,
            description=f"Used by {', '.join(users[name])}.",
        )


def _permissions(nodes: list[Mapping[str, Any]], catalogue: Catalogue) -> Iterator[Permission]:
    found: dict[str, Permission] = {}
    for node in nodes:
        kind = catalogue.get(node["type"], node.get("typeVersion"))
        label = str(node.get("name") or node["id"])
        for permission in (*_egress(node, kind, label), *_code(kind, label)):
            found.setdefault(permission.key, permission)
    for slot in _slots(nodes):
        found[f"secret:{slot.slot}"] = Permission(
            key=f"secret:{slot.slot}",
            reason=f"Opens the secret {slot.slot}. {slot.description}",
            risk=Risk.MEDIUM,
        )
    return iter(found[key] for key in sorted(found))


def _egress(node: Mapping[str, Any], kind: NodeType | None, label: str) -> Iterator[Permission]:
    if kind is None:
        return
    for host in kind.egress:
        yield Permission(
            key=f"egress:{host}", reason=f"{label} sends data to {host}.", risk=Risk.MEDIUM
        )
    configuration = node.get("configuration") or {}
    for name in kind.egress_parameters:
        for text in strings(configuration.get(name)):
            yield _address(text, label)


def _address(text: str, label: str) -> Permission:
    """The permission behind an address: its host, or who decides the host."""
    expression = next(braces.spans(text), None)
    before = text[: expression[0]] if expression else text
    rest = before.partition("://")[2] if "://" in before else before
    if expression is None or "/" in rest:
        host = urlsplit(before if "://" in before else f"//{before}").hostname or "unknown"
        return Permission(
            key=f"egress:{host}", reason=f"{label} sends data to {host}.", risk=Risk.MEDIUM
        )
    named = _ROOT.match(braces.insides(text)[0])
    if named is None:
        return Permission(
            key="egress:*",
            reason=f"{label} sends data to whatever host its input names.",
            risk=Risk.HIGH,
        )
    source, name = named.groups()
    return Permission(
        key=f"egress:{source}.{name}",
        reason=f"{label} sends data to the host in {source}.{name}.",
        risk=Risk.MEDIUM,
    )


def _code(kind: NodeType | None, label: str) -> Iterator[Permission]:
    for language in sorted(set(kind.code.values())) if kind else ():
        yield Permission(
            key=f"code:{language}",
            reason=f"{label} runs {language} of the publisher's in the sandbox.",
            risk=Risk.LOW,
        )


def strings(value: Any) -> Iterator[str]:
    """Every string in a JSON value, in order."""
    pending = [value]
    while pending:
        current = pending.pop()
        if isinstance(current, str):
            yield current
        elif isinstance(current, Mapping):
            pending.extend(reversed([*current.values()]))
        elif isinstance(current, list | tuple):
            pending.extend(reversed(current))
