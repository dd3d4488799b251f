"""What is scanned: a document's JSON flattened into texts, code, steps and connections."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from apps.security_scan.scanner import braces
from apps.workflows.graph.declaration import NodeType

SECRET_REFERENCE = re.compile(r"\bsecrets\s*\.\s*([A-Za-z_]\w*)")
_CODE_KEYS = {"code": "python", "script": "python", "python": "python", "sql": "sql"}
_TELLTALE = frozenset({"eval", "exec", "compile", "__import__"})


class Catalogue(Protocol):
    """The part of the node catalogue that a scan reads."""

    def get(self, type: str, version: int | str | None = None) -> NodeType | None:
        """The declaration of a node type, None when unknown."""


@dataclass(frozen=True, kw_only=True)
class Text:
    """One string of the document, with the name it stands under."""

    node_id: str | None
    path: str
    key: str
    value: str

    @property
    def literal(self) -> str:
        """The text without its expressions."""
        return braces.replaced(self.value, lambda _: " ")

    @property
    def expressions(self) -> tuple[str, ...]:
        """The insides of its expressions."""
        return braces.insides(self.value)


@dataclass(frozen=True, kw_only=True)
class Code:
    """One string that is run: Python, SQL or the inside of an expression."""

    node_id: str | None
    path: str
    source: str


@dataclass(frozen=True, kw_only=True)
class Step:
    """A node with what its type declares about the outside world."""

    id: str
    type: str
    node_type: NodeType | None
    texts: tuple[Text, ...]

    @property
    def reaches_out(self) -> bool:
        """Whether the node can send data to other systems."""
        kind = self.node_type
        return kind is not None and bool(kind.egress or kind.egress_parameters)

    def addresses(self) -> Iterator[Text]:
        """The texts in parameters that the type declares as addresses."""
        names = self.node_type.egress_parameters if self.node_type else ()
        return (text for text in self.texts if _parameter_of(text) in names)

    def may_hold_secret(self, text: Text) -> bool:
        """Whether the type declares the parameter of `text` as one for a secret."""
        return self.node_type is not None and _parameter_of(text) in self.node_type.secrets


@dataclass(frozen=True, kw_only=True)
class Subject:
    """A whole document, ready to be read by every scanner."""

    texts: tuple[Text, ...]
    python: tuple[Code, ...]
    expressions: tuple[Code, ...]
    sql: tuple[Code, ...]
    steps: tuple[Step, ...]
    edges: tuple[tuple[str, str], ...]
    parameters: tuple[Mapping[str, Any], ...]


def flatten(document: Mapping[str, Any], catalogue: Catalogue) -> Subject:
    """Read a document's JSON; parts of an unexpected shape are read as plain texts."""
    nodes = [one for one in _sequence(document.get("nodes")) if isinstance(one, Mapping)]
    rest = {key: value for key, value in document.items() if key != "nodes"}
    steps = tuple(_step(node, catalogue) for node in nodes)
    texts = tuple(_texts(rest, node_id=None)) + tuple(text for step in steps for text in step.texts)
    code = [(step, text) for step in steps for text in step.texts]
    return Subject(
        texts=texts,
        python=tuple(_code(t) for s, t in code if _language(s, t) == "python"),
        sql=tuple(_code(t) for s, t in code if _language(s, t) == "sql"),
        expressions=tuple(_expressions(texts)),
        steps=steps,
        edges=tuple(_edges(document)),
        parameters=tuple(_parameters(document)),
    )


def _step(node: Mapping[str, Any], catalogue: Catalogue) -> Step:
    identity = str(node.get("id") or "")
    kind = str(node.get("type") or "")
    version = node.get("typeVersion")
    named = version if isinstance(version, int | str) else None
    return Step(
        id=identity,
        type=kind,
        node_type=catalogue.get(kind, named),
        texts=tuple(_texts(node, node_id=identity)),
    )


def _texts(value: Any, *, node_id: str | None, path: str = "", key: str = "") -> Iterator[Text]:
    """Every string below `value`, keys of mappings included; iterative, so depth costs nothing."""
    pending: list[tuple[Any, str, str]] = [(value, path, key)]
    while pending:
        current, where, name = pending.pop()
        if isinstance(current, str):
            if current:
                yield Text(node_id=node_id, path=where, key=name, value=current)
        elif isinstance(current, Mapping):
            pair = current.get("name", current.get("key"))
            for inner, child in current.items():
                label = str(pair) if inner == "value" and isinstance(pair, str) else str(inner)
                pending.append((child, f"{where}.{inner}" if where else str(inner), label))
                yield Text(node_id=node_id, path=where, key="", value=str(inner))
        elif isinstance(current, Sequence) and not isinstance(current, bytes):
            pending.extend((child, f"{where}[{i}]", name) for i, child in enumerate(current))


def _language(step: Step, text: Text) -> str | None:
    """The language of a text that is run, by declaration, by its key or by how it reads."""
    parameter = _parameter_of(text)
    if parameter is None or not text.key:
        return None
    if step.node_type is not None and parameter in step.node_type.code:
        return step.node_type.code[parameter]
    if step.node_type is None and text.key in _CODE_KEYS:
        return _CODE_KEYS[text.key]
    return "python" if _reads_like_python(text.value) else None


def _reads_like_python(value: str) -> bool:
    """Whether a text parses as Python that imports, defines or calls for execution."""
    if not any(word in value for word in ("import", "def ", "(")):
        return False
    try:
        tree = ast.parse(value)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return any(
        isinstance(node, ast.Import | ast.ImportFrom | ast.FunctionDef | ast.AsyncFunctionDef)
        or (isinstance(node, ast.Name) and node.id in _TELLTALE)
        for node in ast.walk(tree)
    )


def _parameter_of(text: Text) -> str | None:
    """The top-level parameter of `configuration` a text belongs to."""
    head, _, tail = text.path.partition(".")
    return re.split(r"[.\[]", tail, maxsplit=1)[0] if head == "configuration" and tail else None


def _code(text: Text) -> Code:
    return Code(node_id=text.node_id, path=text.path, source=text.value)


def _expressions(texts: Sequence[Text]) -> Iterator[Code]:
    for text in texts:
        for inside in text.expressions:
            yield Code(node_id=text.node_id, path=text.path, source=inside)
        if text.node_id is None and text.key == "condition" and not text.expressions:
            yield Code(node_id=None, path=text.path, source=text.value)


def _edges(document: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for connection in _sequence(document.get("connections")):
        if isinstance(connection, Mapping):
            yield str(connection.get("source")), str(connection.get("target"))


def _parameters(document: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    configuration = document.get("configuration")
    if isinstance(configuration, Mapping):
        for one in _sequence(configuration.get("parameters")):
            if isinstance(one, Mapping):
                yield one


def _sequence(value: Any) -> Sequence[Any]:
    return value if isinstance(value, list | tuple) else ()
