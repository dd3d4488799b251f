"""No field of any list costs a statement per row: each is asked for 2 rows and for 20."""

from __future__ import annotations

import pytest
from graphql import (
    GraphQLField,
    GraphQLObjectType,
    get_named_type,
    is_required_argument,
    parse,
)

from apps.kit.graphql.limits import judge
from apps.kit.graphql.schema import LIMITS
from config.schema import schema
from tests.factories import billing
from tests.factories import tenancy as make
from tests.graphql.calls import caller
from tests.graphql.filled import fill, statements
from tests.graphql.selections import paged, selection

pytestmark = pytest.mark.django_db

BUILT = schema._schema
FEW, MANY = 2, 20
DEPTHS = (2, 1, 0)

# Where a page of each type is asked for: %d is its size, # a field of its rows.
LISTS = {
    "WorkflowConnectionPage": "{ workflows(first: %d) { nodes { # } } }",
    "ExecutionConnection": "{ workflow(id: $id) { executions(first: %d) { nodes { # } } } }",
    "WorkflowVersionConnection": "{ workflow(id: $id) { versions(first: %d) { nodes { # } } } }",
    "WorkflowSearchResult": '{ searchWorkflows(query: "public", first: %d) { nodes { # } } }',
    "AuditConnection": "{ auditLog(first: %d) { nodes { # } } }",
    "InstallationConnection": "{ installations(first: %d) { nodes { # } } }",
    "ApprovalConnection": "{ approvals(status: null, first: %d) { nodes { # } } }",
    "StepQuestionConnection": "{ questions(first: %d) { nodes { # } } }",
    "UsageEntryConnection": "{ usageLedger(first: %d) { nodes { # } } }",
    "ListingConnection": "{ tenant { publisher { listings(first: %d) { nodes { # } } } } }",
    # One run has as many steps, one listing as many releases, as its author drew: their pages are
    # cut from one load (the first), or come with their parents (the others, above).
    "NodeRunConnection": "{ execution(id: $run) { nodeRuns(first: %d) { nodes { # } } } }",
    "LogConnection": "{ execution(id: $run) { logs(first: %d) { nodes { # } } } }",
    "MapItemConnection": (
        "{ execution(id: $run) { nodeRuns(first: 1) { nodes {"
        " items(first: %d) { nodes { # } } } } } }"
    ),
    "ListingVersionConnection": (
        '{ searchWorkflows(query: "public", first: %d)'
        " { nodes { versions(first: 2) { nodes { # } } } } }"
    ),
}
# Reviews come with ratings: no row can be in them yet.
ROWLESS = {"ReviewConnection"}


def pages() -> dict[str, GraphQLObjectType]:
    """Every type that is a page of rows, and the type of its rows."""
    return {
        name: get_named_type(kind.fields["nodes"].type)
        for name, kind in BUILT.type_map.items()
        if isinstance(kind, GraphQLObjectType) and {"nodes", "pageInfo"} <= kind.fields.keys()
    }


def operation(text: str, size: int, name: str, field: GraphQLField) -> str:
    """The list with everything below one field of its rows, as deep as the limits allow."""
    variables = "".join(f"${one}: ID!" for one in ("id", "run") if f"${one})" in text)
    head = f"query({variables}) " if variables else ""
    for depth in DEPTHS:
        below = selection(BUILT, get_named_type(field.type), depth)
        asked = head + (text % size).replace("#", f"{name}{paged(field)} {below}")
        largest = head + (text % MANY).replace("#", f"{name}{paged(field)} {below}")
        found = judge(BUILT, parse(largest), operation_name=None, variables={}, limits=LIMITS)
        if not found.faults:
            return asked
    raise AssertionError(f"{name} exceeds the limits at every depth")


def test_no_field_of_any_list_costs_a_statement_per_row(acme: make.Tenant) -> None:
    program = caller(acme)
    ids = fill(acme, "some", MANY)
    for _ in range(MANY):
        billing.entry(acme)
    growing = []
    for page, text in LISTS.items():
        for name, field in pages()[page].fields.items():
            if any(is_required_argument(one) for one in field.args.values()):
                continue
            few = statements(program, operation(text, FEW, name, field), ids)
            many = statements(program, operation(text, MANY, name, field), ids)
            if len(many) > len(few):
                growing.append(f"{page}.{name}: {len(few)} -> {len(many)}, the last {many[-1]}")

    assert growing == []


def test_every_page_of_the_schema_is_tried() -> None:
    assert set(pages()) == set(LISTS) | ROWLESS
