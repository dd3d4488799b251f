"""The tenant scope: who is being served, as PostgreSQL and the managers see it.

It enters at six doors only, each of which checks its caller before it calls `enter`:

1. HTTP              `tenancy.doors` (page decorators, `actor_of_request`)
2. WebSocket         `config.socket` (scope and query inside one `database_sync_to_async` function)
3. engine claim      `executions.worker` (each slice enters its run's tenant)
4. django-rq         `tenancy.periodic.for_each_tenant`, or `scope.tenant` from a job's id
5. management command  `scope.tenant(…)` with a named tenant
6. staff             `tenancy.doors.staff_page`: platform scope, audited

A door sets a context variable and touches no database. `transaction()` is the only way to rows: it
opens an atomic block and writes the scope into it with transaction-local settings, so that a pooled
connection can never carry one tenant's scope to the next.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

from django.db import connections
from django.db import transaction as database_transaction
from django.db.backends.base.base import BaseDatabaseWrapper

from apps.tenancy.actors import Actor
from apps.tenancy.errors import OutsideScope


@dataclass(frozen=True, kw_only=True)
class Scope:
    """One tenant, or the platform, or (before a tenant is chosen) only a signed-in person."""

    tenant_id: uuid.UUID | None = None
    user_id: uuid.UUID | None = None
    is_platform: bool = False
    actor: Actor | None = None

    @classmethod
    def of(cls, actor: Actor) -> Scope:
        """The scope of an actor; staff outside an organization get the platform scope."""
        return cls(
            tenant_id=actor.tenant_id,
            user_id=actor.user_id,
            is_platform=actor.is_staff and actor.tenant_id is None,
            actor=actor,
        )

    def settings(self) -> tuple[str, str, str]:
        """The values of app.tenant, app.user and app.platform."""
        return (
            str(self.tenant_id or ""),
            str(self.user_id or ""),
            "on" if self.is_platform else "",
        )


_NOBODY = Scope()
_current: ContextVar[Scope | None] = ContextVar("tenant_scope", default=None)


def current() -> Scope:
    """The scope in force. Raises OutsideScope where no door was passed."""
    scope = _current.get()
    if scope is None:
        message = "No tenant scope is in force here: enter one at a door (see tenancy/scope.py)"
        raise OutsideScope(message)
    return scope


def current_tenant_id() -> uuid.UUID:
    """The tenant in force; the default of every `tenant` column."""
    tenant_id = current().tenant_id
    if tenant_id is None:
        message = "The scope in force has no tenant: rows of a tenant cannot be written here"
        raise OutsideScope(message)
    return tenant_id


@contextmanager
def enter(scope: Scope) -> Iterator[Scope]:
    """A door: make `scope` the one in force for this context. Touches no database."""
    token = _current.set(scope)
    try:
        yield scope
    finally:
        _current.reset(token)


@contextmanager
def tenant(tenant_id: uuid.UUID, *, actor: Actor | None = None) -> Iterator[Scope]:
    """The scope of one tenant and a transaction in it, for workers, jobs and commands."""
    with enter(Scope(tenant_id=tenant_id, actor=actor)), transaction() as scope:
        yield scope


@contextmanager
def platform(*, actor: Actor | None = None) -> Iterator[Scope]:
    """The platform scope and a transaction in it, honoured only by the tables that name it."""
    with enter(Scope(is_platform=True, actor=actor)), transaction() as scope:
        yield scope


@contextmanager
def transaction() -> Iterator[Scope]:
    """An atomic block with the scope written into it; nested, the outer one is restored."""
    scope = current()
    connection = connections["default"]
    outer = _applied(connection) if connection.in_atomic_block else None
    try:
        with database_transaction.atomic():
            if outer is None or outer.settings() != scope.settings():
                _apply(connection, scope)
            yield scope
    except BaseException:
        # The savepoint was rolled back, and PostgreSQL took the settings back with it.
        _remember(connection, outer)
        raise
    # A released savepoint leaves the inner settings in force for the outer block: put them back.
    if outer is not None and outer.settings() != scope.settings():
        _apply(connection, outer)
    else:
        _remember(connection, outer)


@contextmanager
def joined() -> Iterator[Scope]:
    """A transaction; inside one of the same scope that one, with no savepoint: they fail as one."""
    scope = current()
    connection = connections["default"]
    if connection.in_atomic_block and _applied(connection).settings() == scope.settings():
        yield scope
        return
    with transaction():
        yield scope


@contextmanager
def reading() -> Iterator[Scope]:
    """A transaction for questions alone, which leave nothing to take back."""
    with joined() as scope:
        yield scope


def _apply(connection: BaseDatabaseWrapper, scope: Scope) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT set_config('app.tenant', %s, true), set_config('app.user', %s, true),"
            " set_config('app.platform', %s, true)",
            scope.settings(),
        )
    _remember(connection, scope)


def _applied(connection: BaseDatabaseWrapper) -> Scope:
    return getattr(connection, "_tenant_scope", None) or _NOBODY


def _remember(connection: BaseDatabaseWrapper, scope: Scope | None) -> None:
    connection._tenant_scope = scope  # type: ignore[attr-defined]
