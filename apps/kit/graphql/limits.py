"""How much one operation may ask: measured in one walk that visits every fragment once.

Limiters that expand fragments anew at each spread take exponential time on a few hundred bytes, so
this walk runs before every other rule, and the other rules run only on what it lets through.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLError,
    GraphQLField,
    GraphQLNamedType,
    GraphQLSchema,
    InlineFragmentNode,
    OperationDefinitionNode,
    OperationType,
    SelectionNode,
    SelectionSetNode,
    get_named_type,
    is_composite_type,
)
from graphql.type import GraphQLInterfaceType, GraphQLObjectType

from apps.kit.graphql.cost import (
    MUTATION_COST,
    PAGE_ARGUMENTS,
    Price,
    complexity_of,
    page_arguments,
    page_size,
)
from apps.kit.pages import MAX_PAGE

TOO_COMPLEX = "QUERY_TOO_COMPLEX"
INVALID_PAGE = "INVALID"
_CEILING = 10**9
_INTROSPECTION_COST = 50
_INTROSPECTION = {"__schema": "__Schema", "__type": "__Type"}


@dataclass(frozen=True, kw_only=True)
class Limits:
    """The caps of one operation; the defaults are what the platform serves."""

    query_characters: int = 100_000
    tokens: int = 2_000
    depth: int = 14
    nesting: int = 64
    fields: int = 500
    aliases: int = 15
    directives: int = 50
    directives_per_place: int = 5
    fragments: int = 20
    operations: int = 5
    cost: int = 3_000
    node_count: int = 20_000
    page: int = MAX_PAGE


@dataclass(slots=True)
class Measure:
    """What a selection asks for; `fields` and `aliases` as if every fragment were written out."""

    depth: int = 0
    fields: int = 0
    aliases: int = 0
    directives: int = 0
    cost: int = 0
    node_count: int = 0

    def beside(self, other: Measure) -> None:
        """Add a selection that stands beside the ones already counted."""
        self.depth = max(self.depth, other.depth)
        self.fields = min(_CEILING, self.fields + other.fields)
        self.aliases = min(_CEILING, self.aliases + other.aliases)
        self.directives = min(_CEILING, self.directives + other.directives)
        self.cost = min(_CEILING, self.cost + other.cost)
        self.node_count = min(_CEILING, self.node_count + other.node_count)


@dataclass(frozen=True, slots=True)
class Judgement:
    """The faults found, or none and the price of the operation that will run."""

    faults: tuple[GraphQLError, ...]
    price: Price


class _Refused(Exception):
    """Ends the walk: what remains may be arbitrarily deep."""


def judge(
    schema: GraphQLSchema,
    document: DocumentNode,
    *,
    operation_name: str | None,
    variables: Mapping[str, Any],
    limits: Limits,
) -> Judgement:
    """Measure every operation of the document and price the one that is named."""
    operations = [d for d in document.definitions if isinstance(d, OperationDefinitionNode)]
    fragments = {
        d.name.value: d for d in document.definitions if isinstance(d, FragmentDefinitionNode)
    }
    walk = _Walk(schema=schema, fragments=fragments, variables=variables, limits=limits)
    price = Price(points=1, node_count=0)
    if len(fragments) > limits.fragments:
        walk.refuse(f"A document holds at most {limits.fragments} fragments.")
    elif len(operations) > limits.operations:
        walk.refuse(f"A document holds at most {limits.operations} operations.")
    else:
        try:
            for operation in operations:
                measure = walk.operation(operation)
                name = operation.name.value if operation.name else None
                if operation_name in {None, name}:
                    price = Price.of(measure.cost, node_count=measure.node_count)
        except _Refused:
            pass
    return Judgement(faults=tuple(walk.faults), price=price)


@dataclass
class _Walk:
    schema: GraphQLSchema
    fragments: Mapping[str, FragmentDefinitionNode]
    variables: Mapping[str, Any]
    limits: Limits
    faults: list[GraphQLError] = field(default_factory=list)
    _measured: dict[str, Measure] = field(default_factory=dict)
    _open: set[str] = field(default_factory=set)
    _subscribing: bool = False

    def refuse(self, message: str, *, code: str = TOO_COMPLEX) -> None:
        self.faults.append(GraphQLError(message, extensions={"code": code}))

    def operation(self, operation: OperationDefinitionNode) -> Measure:
        root = self.schema.get_root_type(operation.operation)
        self._subscribing = operation.operation is OperationType.SUBSCRIPTION
        # Pages are refused under a subscription, so a fragment may not be remembered across.
        self._measured.clear()
        measure = self._selections(operation.selection_set, root, 0)
        measure.directives += self._directives(operation.directives)
        if operation.operation is OperationType.MUTATION:
            measure.cost += MUTATION_COST
            self._one_root_field(operation)
        self._compare(measure)
        return measure

    def _compare(self, measure: Measure) -> None:
        limits = self.limits
        for name, value, most in (
            ("depth", measure.depth, limits.depth),
            ("number of fields", measure.fields, limits.fields),
            ("number of aliases", measure.aliases, limits.aliases),
            ("number of directives", measure.directives, limits.directives),
            ("cost", measure.cost, limits.cost),
            ("number of rows asked for", measure.node_count, limits.node_count),
        ):
            if value > most:
                self.refuse(
                    f"The operation's {name} exceeds {most}. Ask for less at a time: smaller "
                    "pages, fewer levels, or several operations."
                )
                return

    def _one_root_field(self, operation: OperationDefinitionNode) -> None:
        # Each mutation is one transaction; two in one operation could be half done.
        if len(list(self._root_fields(operation.selection_set, set()))) != 1:
            self.refuse("A mutation holds exactly one root field.", code=INVALID_PAGE)

    def _root_fields(self, selections: SelectionSetNode, seen: set[str]) -> Iterator[FieldNode]:
        for node in selections.selections:
            if isinstance(node, FieldNode):
                yield node
            elif isinstance(node, InlineFragmentNode):
                yield from self._root_fields(node.selection_set, seen)
            elif isinstance(node, FragmentSpreadNode) and node.name.value not in seen:
                seen.add(node.name.value)
                fragment = self.fragments.get(node.name.value)
                if fragment is not None:
                    yield from self._root_fields(fragment.selection_set, seen)

    def _selections(
        self, selections: SelectionSetNode | None, parent: GraphQLNamedType | None, level: int
    ) -> Measure:
        if level > self.limits.nesting:
            self.refuse(f"Selections nest at most {self.limits.nesting} levels.")
            raise _Refused
        total = Measure()
        for node in selections.selections if selections else ():
            total.beside(self._selection(node, parent, level))
        return total

    def _selection(
        self, node: SelectionNode, parent: GraphQLNamedType | None, level: int
    ) -> Measure:
        if isinstance(node, FragmentSpreadNode):
            measure = self._spread(node, level)
        elif isinstance(node, InlineFragmentNode):
            narrowed = parent
            if node.type_condition is not None:
                narrowed = self.schema.get_type(node.type_condition.name.value)
            measure = self._selections(node.selection_set, narrowed, level + 1)
        elif isinstance(node, FieldNode):
            measure = self._field(node, parent, level)
        else:
            measure = Measure()
        measure.directives += self._directives(node.directives)
        return measure

    def _directives(self, directives: tuple[Any, ...] | None) -> int:
        count = len(directives or ())
        if count > self.limits.directives_per_place:
            self.refuse(f"At most {self.limits.directives_per_place} directives in one place.")
            raise _Refused
        return count

    def _spread(self, node: FragmentSpreadNode, level: int) -> Measure:
        name = node.name.value
        fragment = self.fragments.get(name)
        # Cycles and unknown fragments are left to the standard rules, which run next.
        if fragment is None or name in self._open:
            return Measure()
        if name not in self._measured:
            self._open.add(name)
            parent = self.schema.get_type(fragment.type_condition.name.value)
            self._measured[name] = self._selections(fragment.selection_set, parent, level + 1)
            self._open.discard(name)
        copy = Measure()
        copy.beside(self._measured[name])
        return copy

    def _field(self, node: FieldNode, parent: GraphQLNamedType | None, level: int) -> Measure:
        name = node.name.value
        alias = 1 if node.alias else 0
        if name in _INTROSPECTION:
            # How deep introspection may go is judged by graphql-core's own rule.
            kind = self.schema.get_type(_INTROSPECTION[name])
            inner = self._selections(node.selection_set, kind, level + 1)
            return Measure(
                depth=1,
                fields=1 + inner.fields,
                aliases=alias + inner.aliases,
                directives=inner.directives,
                cost=_INTROSPECTION_COST,
            )
        definition = self._definition(parent, name)
        if definition is None:
            child_type: GraphQLNamedType | None = None
            own, size = 1, 1
        else:
            child_type = get_named_type(definition.type)
            own, size = self._priced(node, definition)
        inner = self._selections(node.selection_set, child_type, level + 1)
        paged = definition is not None and bool(page_arguments(definition))
        return Measure(
            depth=1 + inner.depth,
            fields=1 + inner.fields,
            aliases=alias + inner.aliases,
            directives=inner.directives,
            cost=min(_CEILING, own + size * inner.cost),
            node_count=min(_CEILING, size * (inner.node_count + (1 if paged else 0))),
        )

    def _priced(self, node: FieldNode, definition: GraphQLField) -> tuple[int, int]:
        names = page_arguments(definition)
        if not names:
            return complexity_of(definition), 1
        if self._subscribing and is_composite_type(get_named_type(definition.type)):
            self.refuse(
                f"`{node.name.value}` is a page, and an event carries none: "
                "query it when the event has come.",
                code=INVALID_PAGE,
            )
        size = page_size(node, definition, names, self.variables)
        self._page(node, names, size)
        return complexity_of(definition), min(max(size, 1), self.limits.page)

    def _page(self, node: FieldNode, names: tuple[str, ...], size: int) -> None:
        given = {a.name.value for a in node.arguments or ()} & set(PAGE_ARGUMENTS) & set(names)
        if not 1 <= size <= self.limits.page:
            self.refuse(
                f"`{node.name.value}` serves pages of 1 to {self.limits.page} rows.",
                code=INVALID_PAGE,
            )
        elif len(given) > 1 and self._both_set(node):
            self.refuse(
                f"Give `{node.name.value}` either `first` or `last`, not both.", code=INVALID_PAGE
            )

    def _both_set(self, node: FieldNode) -> bool:
        return all(
            self._is_set(argument.value)
            for argument in node.arguments or ()
            if argument.name.value in PAGE_ARGUMENTS
        )

    def _is_set(self, value: Any) -> bool:
        if value.kind == "variable":
            return self.variables.get(value.name.value) is not None
        return bool(value.kind != "null_value")

    def _definition(self, parent: GraphQLNamedType | None, name: str) -> GraphQLField | None:
        if isinstance(parent, GraphQLObjectType | GraphQLInterfaceType):
            found: GraphQLField | None = parent.fields.get(name)
            return found
        return None
