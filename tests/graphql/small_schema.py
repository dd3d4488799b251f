"""A schema of its own for the plumbing's tests: no app of the product takes part."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any

import strawberry
from django.db import connection

from apps.kit.errors import ErrorCode, NotFound, QuotaExceeded, Refusal, StaleRevision
from apps.kit.graphql.connections import Connection, Edge, PageInfo, exactly
from apps.kit.graphql.context import RequestContext
from apps.kit.graphql.fields import field, subscription
from apps.kit.graphql.mutations import Payload, mutation
from apps.kit.graphql.scalars import URL, BigInt, SemVer
from apps.kit.graphql.schema import PlatformSchema

TABLE = "CREATE TEMPORARY TABLE scribble (word text UNIQUE) ON COMMIT DROP"


@strawberry.type
class Leaf:
    """A thing with a name."""

    name: str

    @field(points=3)
    def dear(self) -> int:
        """Costs three points."""
        return 1

    @field()
    def children(self, first: int = 20, after: str | None = None) -> LeafConnection:
        """A page of further leaves."""
        return page(first)


@strawberry.type
class LeafEdge(Edge[Leaf]):
    """A leaf in a page."""


@strawberry.type
class LeafConnection(Connection[Leaf, LeafEdge]):
    """A page of leaves."""


def page(size: int) -> LeafConnection:
    """As many leaves as asked for, at most two."""
    leaves = [Leaf(name=str(n)) for n in range(min(size, 2))]
    return LeafConnection(
        edges=[LeafEdge(cursor=leaf.name, node=leaf) for leaf in leaves],
        page_info=PageInfo(has_next_page=False, has_previous_page=False),
        count=lambda: exactly(2),
    )


@strawberry.type
class WordPayload(Payload):
    """What writing a word answers."""

    word: str | None = None

    @field()
    def broken(self) -> int | None:
        """A statement that fails while the payload is resolved."""
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1/0")
        return 1


@strawberry.type
class Query:
    """Reads."""

    @field()
    def leaf(self) -> Leaf:
        """One leaf."""
        return Leaf(name="oak")

    @field()
    def leaves(self, first: int = 20, last: int | None = None) -> LeafConnection:
        """A page."""
        return page(first)

    @field()
    def boom(self) -> int | None:
        """A defect of ours."""
        raise RuntimeError("the database password is hunter2")

    @field()
    def missing(self) -> int | None:
        """A refusal in a query."""
        raise NotFound.of("leaf")

    @field(requires="trees:fell")
    def guarded(self) -> int | None:
        """Needs a permission."""
        return 7

    @field()
    def echo(
        self,
        size: BigInt | None = None,
        version: SemVer | None = None,
        url: URL | None = None,
    ) -> str:
        """The scalars as Python sees them."""
        return f"{size!r} {version!r} {url!r}"


@strawberry.type
class Mutation:
    """Writes."""

    @mutation()
    def write(self, word: str, refuse: str | None = None) -> WordPayload | None:
        """Writes a word, then perhaps refuses."""
        with connection.cursor() as cursor:
            cursor.execute("INSERT INTO scribble VALUES (%s)", [word])
        match refuse:
            case "stale":
                raise StaleRevision(expected=1, current=4, path=("expectedRevision",))
            case "quota":
                raise QuotaExceeded(metric="workflows", limit=3, used=3)
            case "plain":
                raise Refusal("No.", code=ErrorCode.CONFLICT)
            case "bug":
                raise RuntimeError("a stack trace nobody should see")
            case _:
                return WordPayload(word=word)

    @mutation()
    def remember(self, idempotency_key: strawberry.ID | None = None) -> WordPayload | None:
        """Answers the key it was given."""
        return WordPayload(word=idempotency_key)

    @mutation(requires="trees:fell")
    def fell(self) -> WordPayload | None:
        """Needs a permission."""
        return WordPayload(word="timber")


@strawberry.type
class Subscription:
    """Events."""

    @subscription()
    async def grown(self) -> AsyncIterator[Leaf]:
        """Two leaves, one after the other."""
        yield Leaf(name="first")
        yield Leaf(name="second")


@contextmanager
def transaction() -> Iterator[None]:
    """The test holds the transaction."""
    yield


schema = PlatformSchema(
    query=Query, mutation=Mutation, subscription=Subscription, transaction=transaction
)


class Context(RequestContext):
    """A caller who holds what the test says."""

    held: frozenset[str] = frozenset()

    def holds(self, permission: str) -> bool:
        """By the test's word."""
        return permission in self.held


def run(
    query: str, *, held: frozenset[str] = frozenset(), header: str | None = None, **v: Any
) -> Any:
    """Execute a query or mutation as a fresh caller."""
    context = Context(request_id="req-1", payer="test", idempotency_header=header)
    context.held = held
    return schema.execute_sync(query, variable_values=v, context_value=context)


def codes(result: Any) -> list[str]:
    """The codes of the top-level errors."""
    return [error.extensions["code"] for error in result.errors or ()]
