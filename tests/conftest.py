"""What every test may ask for: the database, two organizations, and actors in them."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from apps.tenancy import scope
from apps.tenancy.actors import Actor, Role
from tests import database
from tests.factories import tenancy as make

LOOPBACK = ("127.", "::1", "localhost")


@pytest.fixture(scope="session")
def django_db_setup(django_db_blocker: Any, worker_id: str) -> Iterator[None]:
    """A database of this test process, made by the owner, used as the web's role."""
    name = f"test_nstarx_{os.getpid()}_{worker_id}"
    with django_db_blocker.unblock():
        database.prepare(name)
    yield
    with django_db_blocker.unblock():
        database.destroy(name)


@pytest.fixture(scope="session")
def worker_id(request: pytest.FixtureRequest) -> str:
    """xdist's name of this process, or "main"."""
    return str(getattr(request.config, "workerinput", {}).get("workerid", "main"))


@pytest.fixture(autouse=True)
def _loopback_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test reaches another machine, whatever a library tries."""
    connect = socket.socket.connect

    def guarded(self: socket.socket, address: Any) -> None:
        if isinstance(address, tuple) and not str(address[0]).startswith(LOOPBACK):
            message = f"a test tried to reach {address[0]}"
            raise ConnectionRefusedError(message)
        connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", guarded)


@pytest.fixture
def acme(db: None) -> make.Tenant:
    """An organization with an owner and three environments."""
    return make.tenant("acme")


@pytest.fixture
def globex(db: None) -> make.Tenant:
    """Another organization, which must never see Acme's rows."""
    return make.tenant("globex")


@pytest.fixture
def serving() -> Callable[[Actor], Any]:
    """`with serving(actor):` — the scope and a transaction, as a door would give them."""

    def open_scope(actor: Actor) -> Any:
        return scope.tenant(actor.tenant_id, actor=actor) if actor.tenant_id else scope.platform()

    return open_scope


@pytest.fixture
def viewer(acme: make.Tenant) -> Actor:
    """A member of Acme who may only look."""
    return make.member(acme, role=Role.VIEWER)
