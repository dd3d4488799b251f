"""How many statements each screen's query costs: a baseline, and the same for few rows as for many.

The figure is of statements inside the operation's own transaction; finding out who asks and paying
are counted apart, because every call pays them alike.
"""

from __future__ import annotations

import pytest

from tests.factories import tenancy as make
from tests.graphql.calls import caller
from tests.graphql.filled import fill, statements

pytestmark = pytest.mark.django_db

MANY = 6

SCREENS: dict[str, tuple[str, int]] = {
    "workflow list": (
        "{ workflows(first: 50) { totalCount { value } nodes { id name type status version"
        " metadata { created modified author { displayName } tags } } pageInfo { endCursor } } }",
        3,
    ),
    "workflow with its runs": (
        "query($id: ID!) { workflow(id: $id) { id name draft { revision definition"
        " validation { status issues { code message } } updatedBy { displayName } }"
        " executions(first: 20) { nodes { id status startedAt durationMs trigger environment"
        " version workflow { name } } } versions(first: 20) { nodes { id version"
        " commit { hash message author { displayName } } deployment { environments } } } } }",
        5,
    ),
    "run": (
        "query($run: ID!) { execution(id: $run) { id status version environment trigger"
        " startedAt finishedAt durationMs parameters result error { code message }"
        " workflow { id name } nodeRuns(first: 100) { nodes { nodeId path attempt status"
        " outputPreview error { code } cost { formatted } } }"
        " logs(first: 100) { nodes { seq at level nodeId message } } } }",
        5,
    ),
    "marketplace search": (
        '{ searchWorkflows(query: "public", first: 20) { totalCount { value } didYouMean'
        " nodes { id slug name tagline version downloads rating category tags"
        " author { handle name verification { level } } pricing { model } license { spdxId }"
        " securityScan { verdict score } } facets { name buckets { value count } } } }",
        11,
    ),
    "members and keys": (
        "{ viewer { displayName email } tenant { slug name plan { key name limits }"
        " members { role joinedAt user { id displayName email } } environments { name kind }"
        " usage { metric used limit } } }",
        5,
    ),
    "audit log": (
        "{ auditLog(first: 50) { nodes { at actor action target ip before after hash }"
        " pageInfo { endCursor hasNextPage } } }",
        1,
    ),
    "vault": (
        "{ secrets(environment: DEVELOPMENT) { name version updatedAt updatedBy { displayName }"
        " usedBy { name } } variables(environment: DEVELOPMENT)"
        " connections(environment: DEVELOPMENT) { id name connectorType } }",
        8,
    ),
    "installations": (
        "{ installations(first: 20) { nodes { id version environment status"
        " listing { name slug } workflow { id name } installedBy { displayName }"
        " availableUpdate { version } } } }",
        7,
    ),
    "approvals": (
        "{ approvals(first: 20) { nodes { id kind status stage createdAt"
        " requestedBy { displayName } subject { id ... on Workflow { name } }"
        " scan { verdict } stages { name required decisions { approve"
        " by { displayName } } } } } }",
        3,
    ),
    "designer palette": ("{ nodeTypes { type title category configSchema } }", 0),
}


def test_a_screen_costs_the_same_for_many_rows(acme: make.Tenant) -> None:
    program = caller(acme)
    ids = fill(acme, "few", 1)
    few = {name: statements(program, query, ids) for name, (query, _) in SCREENS.items()}
    ids = fill(acme, "many", MANY)
    many = {name: statements(program, query, ids) for name, (query, _) in SCREENS.items()}

    costs = {name: (len(few[name]), len(many[name])) for name in SCREENS}
    growing = {name: cost for name, cost in costs.items() if cost[1] > cost[0]}
    assert growing == {}, "an N+1: more rows, more statements"
    assert {name: cost[1] for name, cost in costs.items()} == {
        name: baseline for name, (_, baseline) in SCREENS.items()
    }
