"""Every id of one organization, tried by another on everything: a foreign id is as good as none.

Driven by the schema and the URLconf: a new root field, a new type with an id or a new route without
a probe fails here.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from django.db import transaction
from graphql import (
    GraphQLInputObjectType,
    GraphQLInputType,
    GraphQLObjectType,
    get_named_type,
    parse,
)

from apps.kit.graphql.limits import judge
from apps.kit.graphql.nodes import loadable_types
from apps.kit.graphql.schema import LIMITS
from apps.tenancy.graphql.types import TenantType
from config.schema import schema
from tests.graphql.calls import Caller, caller, codes
from tests.graphql.populated import Populated, fingerprint, populate, random_key, shown
from tests.graphql.probes import MUTATIONS, NESTED, NO_ROW_IDS, QUERIES, SUBSCRIPTIONS, Probe
from tests.graphql.selections import paged, selection

pytestmark = pytest.mark.django_db

BUILT = schema._schema
# An answer that says this was never executed, and would prove nothing.
UNPROVEN = {"QUERY_TOO_COMPLEX", "GRAPHQL_VALIDATION_FAILED", "RATE_LIMITED", "INTERNAL"}
# Keys of the caller's own making, and rows of what is not built yet: plans and uploads.
NO_ROWS = {"idempotencyKey", "planId", "packageUploadId", "screenshotUploadIds"}
# Types that no row can have yet: reviews come with ratings.
ROWLESS = {"Review"}
# A publisher is whom the marketplace shows to everybody.
PUBLIC = {"Author"}


@pytest.fixture
def mine(db: None) -> Populated:
    """The organization that asks."""
    return populate("acme")


@pytest.fixture
def theirs(db: None) -> Populated:
    """The organization that must stay unseen."""
    return populate("globex")


@pytest.fixture
def program(mine: Populated) -> Caller:
    """A key of the asking organization's owner, with every scope."""
    return caller(mine.tenant)


def roots(kind: str) -> GraphQLObjectType:
    """The root type of an operation."""
    found = {
        "query": BUILT.query_type,
        "mutation": BUILT.mutation_type,
        "subscription": BUILT.subscription_type,
    }[kind]
    assert found is not None
    return found


def text_of(kind: str, name: str, probe: Probe) -> str:
    """The whole operation: as deep as the limits allow, so that it is really executed."""
    field = roots(kind).fields[name]
    arguments = f"({probe.arguments})" if probe.arguments else paged(field)
    for depth in (4, 3, 2, 1, 0):
        below = selection(BUILT, get_named_type(field.type), depth)
        text = f"{kind} {declared(probe)} {{ {name}{arguments} {below} }}"
        document = parse(text)
        found = judge(BUILT, document, operation_name=None, variables={}, limits=LIMITS)
        if not found.faults:
            return text
    raise AssertionError(f"{name} exceeds the limits at every depth")


def declared(probe: Probe) -> str:
    """`($x: ID!)`."""
    if not probe.ids:
        return ""
    return "(" + ", ".join(f"${name}: {probe.kind}" for name, _ in probe.ids) + ")"


def plain(answer: Any, *hidden: str) -> str:
    """An answer as text, without what varies and without the ids that were sent."""
    answer = strip(answer)
    text = json.dumps(answer, sort_keys=True)
    for value in hidden:
        text = text.replace(value, "ID")
    return text


def strip(value: Any) -> Any:
    """Without request ids and costs."""
    if isinstance(value, dict):
        kept = {k: strip(v) for k, v in value.items() if k not in {"requestId", "cost"}}
        return {k: v for k, v in kept.items() if not (k == "extensions" and v == {})}
    return [strip(one) for one in value] if isinstance(value, list) else value


def tries(slot: str, theirs: Populated) -> Iterator[tuple[str, str]]:
    """Pairs of a foreign id and a random one of the same shape."""
    for type_name in sorted(theirs.keys.keys() - PUBLIC):
        yield theirs.gid(type_name), shown(type_name, random_key(type_name))
    yield theirs.keys[slot], random_key(slot)


def leaks(
    query: str, probe: Probe, program: Caller, mine: Populated, theirs: Populated
) -> list[str]:
    """Ask with each foreign id in each place, and with a random one: where the answers differ."""
    found = []
    own = {name: mine.gid(kind) for name, kind in probe.ids}
    for name, kind in probe.ids:
        for foreign, random in tries(kind, theirs):
            got = tried(program, query, {**own, name: foreign})
            expected = tried(program, query, {**own, name: random})
            assert not UNPROVEN & set(codes(got)), got
            if plain(got, foreign) != plain(expected, random):
                found.append(f"{query[:80]} ${name}={foreign}: {got} instead of {expected}"[:600])
            elif theirs.word in plain(got, foreign):
                found.append(f"{query[:80]} ${name}={foreign} says {theirs.word}")
    return found


def tried(program: Caller, query: str, variables: dict[str, str]) -> dict[str, Any]:
    """The answer to an operation that leaves nothing behind, should it succeed."""
    with transaction.atomic():
        answer = program.run(query, **variables)
        transaction.set_rollback(True)
    return answer


def test_a_foreign_id_reads_nothing(program: Caller, mine: Populated, theirs: Populated) -> None:
    found = []
    for name in roots("query").fields:
        query = text_of("query", name, QUERIES[name])
        found += leaks(query, QUERIES[name], program, mine, theirs)

    assert found == []


def test_a_foreign_id_writes_nothing(program: Caller, mine: Populated, theirs: Populated) -> None:
    found = []
    before = fingerprint(theirs.tenant)
    for name in roots("mutation").fields:
        query = text_of("mutation", name, MUTATIONS[name])
        found += leaks(query, MUTATIONS[name], program, mine, theirs)

    assert found == []
    assert fingerprint(theirs.tenant) == before


def test_a_foreign_id_deeper_down_reads_nothing(
    program: Caller, mine: Populated, theirs: Populated
) -> None:
    found = []
    for probe in NESTED.values():
        query = f"query {declared(probe)} {{ {probe.arguments} }}"
        found += leaks(query, probe, program, mine, theirs)

    assert found == []


def test_what_is_read_is_ones_own(program: Caller, mine: Populated, theirs: Populated) -> None:
    """Lists and objects of the asking organization hold no word and no key of the other."""
    found = []
    for name in roots("query").fields:
        probe = QUERIES[name]
        own = {slot: mine.gid(kind) for slot, kind in probe.ids}
        answer = program.run(text_of("query", name, probe), **own)
        assert not answer.get("errors"), (name, answer["errors"])
        text = json.dumps(answer)
        found += [
            f"{name} shows {kind}"
            for kind, key in theirs.keys.items()
            if kind not in PUBLIC and (key in text or theirs.gid(kind) in text)
        ]
        if theirs.word in text:
            found.append(f"{name} says {theirs.word}")

    assert found == []


def test_every_root_field_has_a_probe() -> None:
    assert set(roots("query").fields) - set(QUERIES) == set()
    assert set(roots("mutation").fields) - set(MUTATIONS) == set()
    assert set(roots("subscription").fields) - SUBSCRIPTIONS == set()


def test_every_argument_that_is_an_id_is_probed() -> None:
    """Below the root, too; and in a root field each id argument has its variable."""
    silent = []
    for kind in BUILT.type_map.values():
        if not isinstance(kind, GraphQLObjectType) or kind.name.startswith("__"):
            continue
        for name, field in kind.fields.items():
            ids = {one for a, given in field.args.items() for one in ids_in(a, given.type)}
            if not ids or f"{kind.name}.{name}" in NO_ROW_IDS:
                continue
            if kind.name in {"Query", "Mutation"}:
                probes = QUERIES if kind.name == "Query" else MUTATIONS
                given = probes[name].arguments
                silent += [f"{kind.name}.{name}({a})" for a in ids if f"{a}: " not in given]
            elif kind.name != "Subscription" and f"{kind.name}.{name}" not in NESTED:
                silent.append(f"{kind.name}.{name}")
    assert silent == []


def ids_in(name: str, kind: GraphQLInputType) -> Iterator[str]:
    """Arguments and fields of inputs that carry somebody's id; an idempotency key does not."""
    named = get_named_type(kind)
    if isinstance(named, GraphQLInputObjectType):
        for field, one in named.fields.items():
            yield from ids_in(field, one.type)
    elif named.name == "ID" and name not in NO_ROWS:
        yield name


def test_every_type_with_an_id_is_populated(mine: Populated) -> None:
    assert loadable_types() - set(mine.keys) - ROWLESS == set()


def test_ones_own_ids_are_found(program: Caller, mine: Populated) -> None:
    """Otherwise all of this would prove nothing."""
    lost = [
        kind
        for kind in sorted(loadable_types() - ROWLESS)
        if program.data("query($x: ID!) { node(id: $x) { id } }", x=mine.gid(kind))["node"] is None
    ]

    assert lost == []


def test_every_type_of_a_tenants_model_filters_again() -> None:
    """Belt two: whoever builds rows around the managers still meets `get_queryset`."""
    bare = []
    for concrete in schema.schema_converter.type_map.values():
        origin: Any = getattr(concrete.definition, "origin", None)
        shown = getattr(origin, "__strawberry_django_definition__", None)
        if shown is not None and hasattr(shown.model, "tenant"):
            bare += [] if issubclass(origin, TenantType) else [origin.__name__]

    assert bare == []
