"""Rules about expressions: they parse, and every name in them will have a value when they run."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from apps.workflows.graph import order, templates
from apps.workflows.graph.expressions import (
    CONDITION_VALUE,
    SCOPE,
    ExpressionInvalid,
    Reference,
)
from apps.workflows.graph.issues import Issue, Severity
from apps.workflows.graph.nearby import meant
from apps.workflows.graph.rules.drawing import Drawing, connection_issue
from apps.workflows.graph.shape import Node


@dataclass(frozen=True)
class Place:
    """Where an expression stands: at a node, before it runs or (a condition) after."""

    node: Node
    names: frozenset[str]
    after: bool
    inside: bool = False
    """At a container, as if it stood in its body and all of that had run."""


@dataclass(frozen=True)
class Problem:
    """What is wrong with one reference."""

    code: str
    message: str
    severity: Severity = Severity.ERROR


class References:
    """The names an expression may use at a place."""

    def __init__(self, drawing: Drawing) -> None:
        self._drawing = drawing
        self._upstream = order.Upstream(drawing.document)
        configuration = drawing.document.configuration
        self._parameters = {parameter.name for parameter in configuration.parameters}
        self._variables = configuration.variables.keys()
        self._called = order.after_call(drawing.document)

    def problem(self, reference: Reference, place: Place) -> Problem | None:
        """Why the reference will have no value there, None when it will."""
        root = reference[0]
        if root not in place.names:
            mend = meant(root, sorted(place.names), otherwise=f"use {_listed(SCOPE)}.")
            return Problem("EXPRESSION_NAME_UNKNOWN", f"There is no `{root}` here; {mend}")
        outside = place.node.parent_id is None and not place.inside
        if root in {"item", "index"} and outside:
            message = f"`{root}` exists only inside a container; move the node into one."
            return Problem("EXPRESSION_ITEM_OUTSIDE", message)
        if len(reference) == 1:
            return None
        match root:
            case "nodes":
                return self._node(reference, place)
            case "parameters" if reference[1] not in self._parameters:
                message = f"The workflow has no parameter `{reference[1]}`; declare it first."
                return Problem("EXPRESSION_PARAMETER_UNKNOWN", message)
            case "variables" if reference[1] not in self._variables:
                message = (
                    f"The variable `{reference[1]}` is not in this document; "
                    "each environment it runs in must define it."
                )
                return Problem("EXPRESSION_VARIABLE_UNDECLARED", message, Severity.INFO)
        return None

    def _node(self, reference: Reference, place: Place) -> Problem | None:
        named = reference[1]
        if named not in self._drawing.nodes:
            mend = meant(named, self._drawing.nodes, otherwise="name one that is.")
            message = f"`{named}` is no node of this workflow; {mend}"
            return Problem("EXPRESSION_NODE_UNKNOWN", message)
        if not self._precedes(named, place):
            message = (
                f"`{named}` has not always run when `{place.node.id}` begins; "
                "connect it upstream, or refer to a node that is."
            )
            return Problem("EXPRESSION_NODE_NOT_BEFORE", message)
        interface = self._drawing.interfaces.get(named)
        if interface is None or len(reference) == 2 or reference[2] in interface.outputs:
            return None
        message = f"`{named}` has no output `{reference[2]}`; it has {_listed(interface.outputs)}."
        return Problem("EXPRESSION_PORT_UNKNOWN", message)

    def _precedes(self, named: str, place: Place) -> bool:
        target = place.node.id
        if place.after and named == target:
            return True
        if place.inside and self._drawing.nodes[named].parent_id == target:
            return True
        if target in self._called or named in self._called:
            return True
        if not (self._upstream.knows(named) and self._upstream.knows(target)):
            return True  # A circle is refused by a rule of its own.
        return self._upstream.reaches(named, target=target)


def check(drawing: Drawing) -> Iterator[Issue]:
    """All rules of this file."""
    references = References(drawing)
    for node in drawing.nodes.values():
        yield from _configuration(drawing, references, node)
    for number, connection in enumerate(drawing.document.connections):
        source = drawing.nodes.get(connection.source)
        if connection.condition is not None and source is not None:
            interface = drawing.interfaces.get(source.id)
            own = {CONDITION_VALUE, *(interface.outputs if interface else ())}
            place = Place(source, SCOPE - {"secrets"} | own, after=True)
            for problem in _problems_of_condition(references, connection.condition, place):
                yield connection_issue(
                    number, connection, problem.code, problem.message, "condition"
                )


def _configuration(drawing: Drawing, references: References, node: Node) -> Iterator[Issue]:
    node_type = drawing.types.get(node.id)
    if node_type is None:
        return
    place = Place(node, SCOPE, after=False)
    fields = [
        (("configuration", *map(str, path)), text)
        for path, text in templates.texts(node.configuration, verbatim=frozenset(node_type.code))
    ]
    if node.cache is not None and node.cache.key is not None:
        fields.append((("cache", "key"), node.cache.key))
    if node.concurrency is not None and node.concurrency.key is not None:
        fields.append((("concurrency", "key"), node.concurrency.key))
    inner = replace(place, inside=True)
    for path, text in fields:
        at = inner if path[1] in node_type.inner else place
        for problem in _problems_of_text(references, text, at):
            yield drawing.node_issue(
                node, problem.code, problem.message, *path, severity=problem.severity
            )


def _problems_of_text(references: References, text: str, place: Place) -> Iterator[Problem]:
    try:
        content = templates.read(text)
    except ExpressionInvalid as invalid:
        yield Problem(invalid.code, invalid.message)
        return
    if isinstance(content, templates.Template):
        for expression in content.expressions:
            yield from _problems(references, expression.references, place)


def _problems_of_condition(references: References, text: str, place: Place) -> Iterator[Problem]:
    try:
        expression = templates.condition(text)
    except ExpressionInvalid as invalid:
        yield Problem(invalid.code, invalid.message)
        return
    yield from _problems(references, expression.references, place)


def _problems(
    references: References, used: tuple[Reference, ...], place: Place
) -> Iterator[Problem]:
    for reference in used:
        if problem := references.problem(reference, place):
            yield problem


def _listed(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in sorted(names))
