"""What exists of the API keeps the names, arguments and nullability that were promised."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from graphql import (
    GraphQLEnumType,
    GraphQLField,
    GraphQLInputObjectType,
    GraphQLInterfaceType,
    GraphQLObjectType,
    GraphQLSchema,
    GraphQLUnionType,
    build_schema,
    get_named_type,
    is_required_argument,
    is_required_input_field,
)

from apps.kit.graphql.nodes import loadable_types
from config.schema import schema

# The promise, in the schema language; the code grows into it.
TARGET = build_schema(Path(__file__).with_name("target.graphql").read_text())
BUILT: GraphQLSchema = schema._schema

# Promises that could not be kept, and why.
DEVIATIONS = {
    "ApprovalRequest.subject": "null where the asker may decide but not see what it is about",
}

# What the product's main job needs; it may not go missing again.
QUERIES = (
    "searchWorkflows getWorkflow marketplace viewer tenant node nodes rateLimit workflows workflow "
    "nodeTypes execution installations approvals auditLog secrets variables connections"
)
MUTATIONS = (
    "publishWorkflow installWorkflow createWorkflow saveDraft validateWorkflow cloneWorkflow "
    "archiveWorkflow commitVersion executeWorkflow cancelExecution decideApproval setSecret "
    "deleteSecret setVariable createApiKey revokeApiKey inviteMember"
)


def shared() -> Iterator[str]:
    """Types that are promised and built."""
    for name in TARGET.type_map:
        if name in BUILT.type_map and not name.startswith("__"):
            yield name


@pytest.mark.parametrize("name", sorted(shared()))
def test_a_type_keeps_what_was_promised(name: str) -> None:
    promised, built = TARGET.type_map[name], BUILT.type_map[name]
    assert isinstance(built, type(promised))
    broken: list[str] = []
    if isinstance(promised, GraphQLObjectType | GraphQLInterfaceType):
        assert isinstance(built, GraphQLObjectType | GraphQLInterfaceType)
        for field in promised.fields.keys() & built.fields.keys():
            if f"{name}.{field}" in DEVIATIONS:
                continue
            broken += compared(field, promised.fields[field], built.fields[field])
        missing = {i.name for i in promised.interfaces} - {i.name for i in built.interfaces}
        broken += [f"does not implement {one}" for one in missing]
    elif isinstance(promised, GraphQLInputObjectType):
        assert isinstance(built, GraphQLInputObjectType)
        broken += compared_inputs(promised, built)
    elif isinstance(promised, GraphQLEnumType):
        assert isinstance(built, GraphQLEnumType)
        broken += [f"unknown value {one}" for one in built.values.keys() - promised.values.keys()]
    elif isinstance(promised, GraphQLUnionType):
        assert isinstance(built, GraphQLUnionType)
        members = {one.name for one in built.types} - {one.name for one in promised.types}
        broken += [f"unknown member {one}" for one in members]
    assert broken == []


def compared(name: str, promised: GraphQLField, built: GraphQLField) -> list[str]:
    """Where a field breaks its promise."""
    broken = []
    if str(promised.type) != str(built.type):
        broken.append(f"{name}: {built.type}, promised {promised.type}")
    for argument, wanted in promised.args.items():
        found = built.args.get(argument)
        if found is None:
            broken.append(f"{name}({argument}) is missing")
        elif str(found.type) != str(wanted.type):
            broken.append(f"{name}({argument}): {found.type}, promised {wanted.type}")
    for argument, extra in built.args.items():
        if argument not in promised.args and is_required_argument(extra):
            broken.append(f"{name}({argument}) is required and was not promised")
    return broken


def compared_inputs(promised: GraphQLInputObjectType, built: GraphQLInputObjectType) -> list[str]:
    """Where an input breaks its promise."""
    broken = [
        f"{name}: {built.fields[name].type}, promised {field.type}"
        for name, field in promised.fields.items()
        if name in built.fields and str(built.fields[name].type) != str(field.type)
    ]
    broken += [
        f"{name} is required and was not promised"
        for name, field in built.fields.items()
        if name not in promised.fields and is_required_input_field(field)
    ]
    return broken


@pytest.mark.parametrize("name", QUERIES.split())
def test_a_query_of_the_main_job_is_there(name: str) -> None:
    assert BUILT.query_type is not None
    assert name in BUILT.query_type.fields


@pytest.mark.parametrize("name", MUTATIONS.split())
def test_a_mutation_of_the_main_job_is_there(name: str) -> None:
    assert BUILT.mutation_type is not None
    assert name in BUILT.mutation_type.fields


def test_a_run_can_be_watched() -> None:
    assert BUILT.subscription_type is not None
    assert "executionEvents" in BUILT.subscription_type.fields


def test_every_page_has_a_bound() -> None:
    """A connection's `first` has a default; nothing returns a table because nobody asked less."""
    unbounded = []
    for kind in BUILT.type_map.values():
        if not isinstance(kind, GraphQLObjectType) or kind.name.startswith("__"):
            continue
        for name, field in kind.fields.items():
            below = get_named_type(field.type)
            if isinstance(below, GraphQLObjectType) and "pageInfo" in below.fields:
                size = field.args.get("first")
                if size is None or not isinstance(size.default_value, int):
                    unbounded.append(f"{kind.name}.{name}")
    assert unbounded == []


def test_every_node_type_can_be_asked_for_by_its_id() -> None:
    node = BUILT.type_map["Node"]
    assert isinstance(node, GraphQLInterfaceType)
    implementing = {kind.name for kind in BUILT.get_implementations(node).objects}

    # Nobody can write a review yet, so no id leads to one.
    assert implementing - loadable_types() - {"Review"} == set()


def test_every_mutation_field_answers_with_a_payload_or_a_report() -> None:
    assert BUILT.mutation_type is not None
    odd = [
        name
        for name, field in BUILT.mutation_type.fields.items()
        if not str(field.type).rstrip("!").endswith(("Payload", "Result", "Report"))
    ]

    assert odd == []
