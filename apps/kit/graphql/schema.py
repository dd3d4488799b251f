"""How an operation runs: parsed, judged, paid for, executed in one transaction, masked."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any

import strawberry
from django.db import IntegrityError, connection
from graphql import GraphQLError
from psycopg.pq import TransactionStatus
from strawberry.extensions import SchemaExtension
from strawberry.schema.config import StrawberryConfig
from strawberry.schema.schema import StreamResult
from strawberry.types import ExecutionContext, ExecutionResult
from strawberry.types.graphql import OperationType

from apps.kit.graphql import charging, documents
from apps.kit.graphql.context import RequestContext
from apps.kit.graphql.cost import Price
from apps.kit.graphql.errors import error_types, refusal_of
from apps.kit.graphql.limits import Limits, judge
from apps.kit.graphql.masking import shown
from apps.kit.graphql.scalars import SCALARS

LIMITS = Limits()


class Guard(SchemaExtension):
    """Judges an operation before it runs, cheapest test first, and takes its price."""

    def __init__(self) -> None:
        # Not on the context: all operations of one socket share that.
        self.price: Price | None = None
        self.charge: charging.Charge | None = None

    def on_parse(self) -> Iterator[None]:
        """From the text to a document, through the cache."""
        context = self.execution_context
        if context.query:
            context.graphql_document = documents.parsed(context.query, LIMITS)
        yield

    def on_validate(self) -> Iterator[None]:
        """Our limits first, in linear time; the specification's rules only on what passes."""
        context = self.execution_context
        document = context.graphql_document
        assert document is not None  # noqa: S101 - parsing comes before validation
        judgement = judge(
            context.schema._schema,
            document,
            operation_name=context.operation_name,
            variables=context.variables or {},
            limits=LIMITS,
        )
        self.price = judgement.price
        context.pre_execution_errors = list(judgement.faults) or documents.faults(
            context.schema._schema, context.query or "", LIMITS
        )
        yield

    def on_execute(self) -> Iterator[None]:
        """Whoever asks, pays before anything is done."""
        request = _request(self.execution_context)
        if self.price is not None:
            request.charge = self.charge = charging.charge(
                request.payer, self.price, points_per_hour=request.points_per_hour
            )
        yield

    def get_results(self) -> dict[str, Any]:
        """`extensions.cost`."""
        return {} if self.charge is None else {"cost": self.charge.to_json()}


class Transaction(SchemaExtension):
    """One query or mutation is one transaction; a subscription holds none while it waits."""

    def __init__(self, open_transaction: Callable[[], AbstractContextManager[Any]]) -> None:
        self.open_transaction = open_transaction

    def on_execute(self) -> Iterator[None]:
        """Everything is read and written at once, or not at all."""
        if self.execution_context.operation_type is OperationType.SUBSCRIPTION:
            yield
            return
        try:
            with self.open_transaction():
                yield
                _must_be_whole()
        except IntegrityError as error:
            # A deferred constraint speaks at commit, after the payload was made.
            raise refusal_of(error) from error


def _must_be_whole() -> None:
    # A statement that failed in a resolver has doomed the transaction: PostgreSQL would answer our
    # COMMIT with a silent ROLLBACK while the payload says that it was written.
    raw = connection.connection
    if raw is not None and raw.info.transaction_status == TransactionStatus.INERROR:
        message = "A statement failed while the payload was resolved; nothing was committed"
        raise RuntimeError(message)


def _request(context: ExecutionContext) -> RequestContext:
    request = context.context
    if not isinstance(request, RequestContext):
        message = "A GraphQL operation needs a RequestContext"
        raise TypeError(message)
    return request


class PlatformSchema(strawberry.Schema):
    """The composed schema with the platform's rules; every error it returns is fit to be shown."""

    def __init__(
        self,
        *,
        query: type,
        mutation: type | None = None,
        subscription: type | None = None,
        types: tuple[type, ...] = (),
        transaction: Callable[[], AbstractContextManager[Any]],
    ) -> None:
        super().__init__(
            query=query,
            mutation=mutation,
            subscription=subscription,
            types=[*error_types(), *types],
            config=StrawberryConfig(
                scalar_map=SCALARS,
                disable_field_suggestions=True,
                relay_max_results=LIMITS.page,
                batching_config=None,
            ),
            extensions=[Guard, lambda: Transaction(transaction)],
        )

    def process_errors(
        self, errors: list[GraphQLError], execution_context: ExecutionContext | None = None
    ) -> None:
        """Masking logs what is ours to mend; a client's mistake is no log line."""

    def execute_sync(self, *args: Any, **kwargs: Any) -> ExecutionResult:
        """One query or mutation."""
        result = super().execute_sync(*args, **kwargs)
        return _masked(result, kwargs["context_value"])

    async def stream(self, *args: Any, **kwargs: Any) -> StreamResult:
        """One subscription; everything else belongs to POST, where it gets its transaction."""
        kwargs["allowed_operation_types"] = (OperationType.SUBSCRIPTION,)
        source = await super().stream(*args, **kwargs)
        context = kwargs["context_value"]

        async def masked() -> AsyncIterator[Any]:
            try:
                async for result in source:
                    yield (
                        _masked(result, context) if isinstance(result, ExecutionResult) else result
                    )
            finally:
                await source.aclose()

        return masked()  # type: ignore[return-value]


def _masked(result: ExecutionResult, context: RequestContext) -> ExecutionResult:
    if result.errors:
        result.errors = shown(result.errors, request_id=context.request_id)
    return result
